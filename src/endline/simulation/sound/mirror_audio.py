"""The embedded default data of the station `mirror_audio`: simulated recordings of mirror-folding motors.

The layout is that of Lee et al. 2023, section 4: 7 s, a fold and an unfold of some 3 s around 1 s of standstill.
Levels and spectra follow real recordings of such motors: the motor at some -62 dB of full scale, the room at
-80 dB. Faults add to the sound of a unit that is otherwise drawn like all others, in a room that knows
nothing of them: the standstill is the same, sample for sample, with and without the fault.

Difficulty was chosen, not found: strengths are log-uniform (`STRENGTHS`), so that the weakest are hardly
audible. With the defaults, a Gaussian (Ledoit-Wolf) on pooled stride-16 features of EfficientNet-Lite0,
fitted on 228 normals, tells the 100 faulty units from 99 other normals with AUROC 0.93 (fault 1: 0.91,
2: 0.98, 7: 0.90), and with 0.56 +- 0.04 from the standstill alone.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import soundfile

from endline.errors import EndlineError
from endline.simulation.simulated_folder import SimulatedFolder, check_least
from endline.simulation.sound.motor_faults import add_misalignment, add_scratch, add_thrust
from endline.simulation.sound.motor_sound import Motion, MotionName, Motor, excite, radiate, room_noise
from endline.simulation.sound.sources import Signal

RECIPE = 1  # raise it whenever the same settings would give other recordings
DURATION = 7.0  # s
FAULTS = ("1", "2", "7")
# Least and greatest strength of each fault, in its own measure: from hardly audible to plain.
STRENGTHS = {"1": (0.15, 1.0), "2": (0.1, 1.0), "7": (0.5, 4.0)}


@dataclass(frozen=True)
class MirrorSimulation:
    """Settings of a simulated set; the defaults have the size of the set of Lee et al. 2023, section 4.

    Attributes:
        normals: recordings of healthy units, at least 0.
        faulty: recordings of faulty units, at least 0, dealt evenly to the faults 1, 2 and 7.
        seed: seed of the whole set, at least 0; unit `i` depends on (seed, i) and its fault alone.
        sample_rate: hertz, at least 8000.
        strength: factor on the strength of every fault, at least 0; 0 makes faulty units sound healthy.

    Example:
        >>> MirrorSimulation(normals=10).faulty
        100
    """

    normals: int = 327
    faulty: int = 100
    seed: int = 0
    sample_rate: int = 44100
    strength: float = 1.0

    def __post_init__(self) -> None:
        check_least(self, normals=0, faulty=0, seed=0, sample_rate=8000, strength=0)
        if self.normals + self.faulty == 0:
            raise EndlineError("The simulation has no recordings; set normals or faulty above 0.")


def deal_faults(settings: MirrorSimulation) -> list[str]:
    """Return the fault of unit 1, 2, ...; shuffled, so that the order of the recordings tells nothing."""
    faults = ["0"] * settings.normals + [FAULTS[i % len(FAULTS)] for i in range(settings.faulty)]
    order = np.random.default_rng([settings.seed, 0]).permutation(len(faults))  # units count from 1
    return [faults[i] for i in order]


def synthesise(fault: str, rng: np.random.Generator, settings: MirrorSimulation) -> Signal:
    """Return one recording, float32 of shape (7 s x sample_rate,), full scale 1.

    The motor, the room and the fault draw from three children of `rng`: the same generator with another
    fault gives the same unit in the same room, with and without the fault.
    """
    if fault not in ("0", *FAULTS):
        raise EndlineError(f"The simulation knows no fault {fault!r}; choose 0, 1, 2 or 7.")
    unit_rng, room_rng, fault_rng = rng.spawn(3)
    rate = settings.sample_rate
    recording = room_noise(int(DURATION * rate), rate, room_rng)
    motor = Motor.draw(unit_rng, rate)
    fold_start = unit_rng.uniform(0.05, 0.15)
    fold_length, pause, unfold_length = unit_rng.normal((2.9, 1.0, 2.85), (0.04, 0.02, 0.04))
    # A slow unit rests less, so that its end stop still falls into the recording.
    unfold_start = min(fold_start + fold_length + pause, DURATION - unfold_length - 0.01)
    strength = settings.strength * float(np.exp(fault_rng.uniform(*np.log(STRENGTHS.get(fault, (1, 1))))))
    affected = _affected(fault, fault_rng)
    motions: tuple[tuple[MotionName, float, float], ...] = (
        ("fold", fold_start, fold_length),
        ("unfold", unfold_start, unfold_length),
    )
    for name, start, length in motions:
        motion = Motion.run(motor, name, length, unit_rng)
        force = excite(motor, motion, unit_rng)
        if name in affected:
            if fault == "1":
                add_misalignment(force, motor, motion, strength, fault_rng)
            elif fault == "2":
                add_scratch(force, motor, motion, strength, fault_rng)
            elif fault == "7":
                add_thrust(force, motor, motion, strength, fault_rng)
        heard = radiate(motor, force)
        first = int(start * rate)
        last = min(first + len(heard), len(recording))
        recording[first:last] += heard[: last - first]
    return np.clip(recording, -1.0, 1.0)


def _affected(fault: str, rng: np.random.Generator) -> tuple[str, ...]:
    """Motions that show the fault: the buzz both, tick-tock and click mostly one (Lee et al. 2023, section 4)."""
    if fault == "0":
        return ()
    if fault == "1" or rng.uniform() < 0.25:
        return ("fold", "unfold")
    return (str(rng.choice(("fold", "unfold"))),)


def simulate(folder: Path, settings: MirrorSimulation, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the simulated set to `folder` and return it; a complete set of the same settings is left alone.

    Layout: `recordings/unit_0001.wav` ... (16 bit, mono), `labels.csv` (`recording,fault`) and
    `simulation.json`. The set is written beside `folder` and moved there when it is complete, so that a
    killed simulation leaves nothing that is ever read. A simulated set of other settings is replaced, since
    its own settings bring it back; a folder with any other file is never touched.

    Args:
        folder: where the set shall lie; its parents are made.
        settings: see `MirrorSimulation`.
        progress: called with (recordings written, recordings in all) after each recording.

    Raises:
        EndlineError: `folder` holds files that no simulation wrote, or the disk cannot be written.
    """
    faults = deal_faults(settings)
    names = [f"unit_{unit:04d}.wav" for unit in range(1, len(faults) + 1)]
    simulated = SimulatedFolder(
        contents="recordings",
        note="simulated recordings of a car side-mirror folding motor; no real motor was recorded",
        recipe=RECIPE,
        settings=asdict(settings),
        files=("labels.csv", *(f"recordings/{name}" for name in names)),
        pattern=r"labels\.csv|recordings/unit_\d+\.wav",
        megabytes=int(len(faults) * DURATION * settings.sample_rate * 2 / 1e6) + 1,
    )

    def write(beside: Path) -> None:
        (beside / "recordings").mkdir()
        for unit, (name, fault) in enumerate(zip(names, faults, strict=True), start=1):
            sound = synthesise(fault, np.random.default_rng([settings.seed, unit]), settings)
            try:
                soundfile.write(beside / "recordings" / name, sound, settings.sample_rate, subtype="PCM_16")
            except soundfile.LibsndfileError as error:  # what a full disk is to libsndfile
                raise OSError(str(error)) from error
            if progress is not None:
                progress(unit, len(faults))
        rows = ["recording,fault", *(f"{name},{fault}" for name, fault in zip(names, faults, strict=True))]
        (beside / "labels.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")

    return simulated.fill(folder, write)
