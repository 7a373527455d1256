"""The embedded default data of the station `machine_audio`: simulated machines in a simulated factory.

The layout is that of DCASE Task 2 of 2023 (Dohi et al. 2023, section 3): one section a machine, training clips of a
source domain and ten of a target domain, tested clips of both. The domains differ in the machine's condition, which is
told in the names, and in the room, in the kinds of noise and in their level. A machine is the same in all its clips;
its speed drifts, its sources vary in level. A fault adds to a clip that is otherwise drawn like all others: the same
run in the same noise.

Difficulty was chosen, not found: strengths are log-uniform (`MACHINES`). With the defaults, the distance to the nearest
training clip, of mean, standard deviation and maximum over time of 128 log-mel bands, each standardised, has these
AUCs of a domain's normals against the anomalies of both (source, target): fan 0.92, 0.76; gearbox 0.94, 0.71; bearing
0.87, 0.57; slider 0.93, 0.69; valve 0.89, 0.58; ToyCar 0.91, 0.63. Measured once, by hand, with RECIPE 1.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile

from endline.errors import EndlineError
from endline.simulation.simulated_folder import SimulatedFolder, check_least
from endline.simulation.sound.factory_noise import Surroundings
from endline.simulation.sound.linear_machines import slider, valve
from endline.simulation.sound.machine_run import HEALTHY, RATE, Run
from endline.simulation.sound.rotating_machines import bearing, fan, gearbox, toy_car
from endline.simulation.sound.sources import Signal, decibel, heard, room

RECIPE = 1  # raise it whenever the same settings would give other recordings
LEVEL = 0.007  # of full scale: rms of a healthy machine
Condition = Mapping[str, str]
T = TypeVar("T")


@dataclass(frozen=True)
class Domain:
    """A domain of a machine: the conditions that it runs in, and where it is recorded.

    Example:
        >>> Domain.of(Surroundings({"ventilation": 1.0}, (0.0, 6.0), 0.4), vel="6 10", loc="A B").conditions[1]
        {'vel': '6', 'loc': 'B'}
    """

    surroundings: Surroundings
    conditions: tuple[Condition, ...]

    @classmethod
    def of(cls, surroundings: Surroundings, **values: str) -> "Domain":
        """Return a domain with all combinations of the values of each attribute, which stand between blanks."""
        lists = [text.split() for text in values.values()]
        names = [name.replace("_", "-") for name in values]
        return cls(surroundings, tuple(dict(zip(names, chosen, strict=True)) for chosen in product(*lists)))


@dataclass(frozen=True)
class Machine:
    """A simulated machine; `faults` have their least and greatest strength, each in its own measure.

    Example:
        >>> sorted(MACHINES["bearing"].faults)
        ['dry', 'inner_race', 'outer_race']
    """

    sound: Callable[[Run], Signal]
    domains: Mapping[str, Domain]
    faults: Mapping[str, tuple[float, float]]


HALL = Surroundings({"ventilation": 1.0, "compressor": 0.7}, (0.0, 6.0), 0.4)
ASSEMBLY = Surroundings({"ventilation": 0.7, "air_guns": 0.3, "conveyor": 0.8}, (-1.0, 4.0), 0.6)
FORGE = Surroundings({"ventilation": 1.0, "hammering": 0.25}, (-1.0, 5.0), 0.7)
PACKING = Surroundings({"ventilation": 0.8, "conveyor": 1.0}, (0.0, 6.0), 0.3)
CELLAR = Surroundings({"ventilation": 0.5, "compressor": 1.0}, (-3.0, 3.0), 0.5)

MACHINES: Mapping[str, Machine] = {
    "fan": Machine(
        fan,
        {"source": Domain.of(HALL, m_n="W X"), "target": Domain.of(PACKING, m_n="Y Z")},
        {"unbalance": (0.3, 1.0), "clogged": (0.15, 0.7), "loose_guard": (0.04, 0.25)},
    ),
    "gearbox": Machine(
        gearbox,
        {
            "source": Domain.of(PACKING, volt="1.0 1.5 2.0", wt="0 50"),
            "target": Domain.of(FORGE, volt="2.5 3.0", wt="100"),
        },
        {"worn": (0.4, 1.4), "chipped": (0.15, 0.8), "dry": (0.18, 0.6)},
    ),
    "bearing": Machine(
        bearing,
        {
            "source": Domain.of(HALL, vel="6 10 14", loc="A B"),
            "target": Domain.of(ASSEMBLY, vel="18 22", loc="C"),
        },
        {"outer_race": (0.5, 1.8), "inner_race": (0.5, 2.0), "dry": (0.6, 1.7)},
    ),
    "slider": Machine(
        slider,
        {
            "source": Domain.of(FORGE, vel="300 500", ac="0.1 0.2"),
            "target": Domain.of(CELLAR, vel="600 700", ac="0.3"),
        },
        {"stick_slip": (0.2, 1.0), "dented_rail": (0.4, 2.0), "loose_stop": (0.4, 1.6)},
    ),
    "valve": Machine(
        valve,
        {"source": Domain.of(PACKING, pat="00 01"), "target": Domain.of(CELLAR, pat="02 03")},
        {"leak": (0.25, 0.9), "slow": (0.2, 0.9), "weak_coil": (0.15, 0.6)},
    ),
    "ToyCar": Machine(
        toy_car,
        {
            "source": Domain.of(CELLAR, car="A1 A2", spd="28V 31V", mic="1"),
            "target": Domain.of(ASSEMBLY, car="B1", spd="34V 40V", mic="2"),
        },
        {"bent_shaft": (0.06, 0.4), "deformed_gear": (0.25, 1.2), "flat_wheel": (0.5, 1.6)},
    ),
}
# Parts of a set: the seed of a clip has its part's place in here.
PARTS = tuple(product(("source", "target"), ("train_normal", "test_normal", "test_anomaly")))


@dataclass(frozen=True)
class MachineSimulation:
    """Settings of a simulated set.

    Attributes:
        train: training clips of the source domain of a machine, at least 1.
        target: training clips of its target domain, at least 0; ten in DCASE.
        normals: tested clips of each domain without a fault, at least 0.
        faulty: tested clips of each domain with a fault, at least 0, dealt evenly to the machine's faults.
        seconds: length of a clip, at least 3, so that every fault is heard once at least.
        machines: names of `MACHINES`.
        seed: seed of the whole set, at least 0; a clip depends on (seed, machine, its part, its number) alone, and
            another seed is other machines.
        first: number of the first clip of every part, at least 0: further clips of the same machines.

    Example:
        >>> MachineSimulation(machines=("fan", "valve")).train
        100
    """

    train: int = 100
    target: int = 10
    normals: int = 30
    faulty: int = 30
    seconds: float = 6.0
    machines: tuple[str, ...] = tuple(MACHINES)
    seed: int = 0
    first: int = 0

    def __post_init__(self) -> None:
        check_least(self, train=1, target=0, normals=0, faulty=0, seconds=3, seed=0, first=0)
        if isinstance(self.machines, str):
            object.__setattr__(self, "machines", (self.machines,))
        object.__setattr__(self, "machines", tuple(self.machines))  # YAML has lists
        unknown = [name for name in self.machines if name not in MACHINES]
        if unknown or not self.machines or len(set(self.machines)) < len(self.machines):
            what = f"no machine {unknown[0]!r}" if unknown else "no machines, or one of them twice"
            raise EndlineError(f"The simulation was given {what}; choose one or more of {', '.join(MACHINES)}.")


@dataclass(frozen=True)
class Clip:
    """One clip of a set: what it shows, and where it lies.

    Example:
        >>> next(clips(MachineSimulation(machines=("fan",)))).domain
        'source'
    """

    machine: str
    domain: str
    part: str
    number: int
    condition: Condition
    fault: str

    @property
    def path(self) -> str:
        """Where the clip lies in the set: `fan/train/section_00_source_train_normal_0000_m-n_W.wav`."""
        attributes = "".join(f"_{name}_{value}" for name, value in self.condition.items())
        name = f"section_00_{self.domain}_{self.part}_{self.number:04d}{attributes}.wav"
        return f"{self.machine}/{self.part.split('_')[0]}/{name}"


def clips(settings: MachineSimulation) -> Iterator[Clip]:
    """Yield every clip of a set; conditions and faults are dealt evenly, in an order of chance."""
    for name in settings.machines:
        machine = MACHINES[name]
        for domain, part in PARTS:
            counts = {
                "train_normal": settings.train if domain == "source" else settings.target,
                "test_normal": settings.normals,
                "test_anomaly": settings.faulty,
            }
            seed = _seed(name, domain, part, settings)
            faults = tuple(machine.faults) if part == "test_anomaly" else (HEALTHY,)
            for number in range(settings.first, settings.first + counts[part]):
                condition = _dealt(machine.domains[domain].conditions, number, (*seed, 1))
                yield Clip(name, domain, part, number, condition, _dealt(faults, number, (*seed, 2)))


def _seed(machine: str, domain: str, part: str, settings: MachineSimulation) -> tuple[int, ...]:
    return settings.seed, tuple(MACHINES).index(machine), PARTS.index((domain, part)) + 1


def _dealt(values: Sequence[T], number: int, seed: tuple[int, ...]) -> T:
    """Return the value of clip `number`: each of the values once in every len(values) clips, shuffled among these."""
    block, place = divmod(number, len(values))
    order = np.random.default_rng([*seed, block + 1]).permutation(len(values))
    return values[int(order[place])]


def synthesise(clip: Clip, settings: MachineSimulation) -> Signal:
    """Return one clip, float32 of (seconds x 16000,), full scale 1; without a fault it is the same clip otherwise.

    Raises:
        EndlineError: the machine has no such fault.
    """
    machine, domain = MACHINES[clip.machine], MACHINES[clip.machine].domains[clip.domain]
    if clip.fault not in (HEALTHY, *machine.faults):
        raise EndlineError(
            f"The {clip.machine} has no fault {clip.fault!r}; choose one of {', '.join(machine.faults)}."
        )
    seed = _seed(clip.machine, clip.domain, clip.part, settings)
    run_chance, noise_chance, fault_chance = np.random.default_rng([*seed, clip.number + 1]).spawn(3)
    strength = float(np.exp(fault_chance.uniform(*np.log(machine.faults.get(clip.fault, (1.0, 1.0))))))
    count = round(settings.seconds * RATE)
    run = Run(clip.condition, count, seed[:2], run_chance, fault_chance, clip.fault, strength)
    # The room is another one where the microphone stands elsewhere.
    place = run.of_part(clip.domain + clip.condition.get("loc", ""))
    sound = heard(machine.sound(run), room(domain.surroundings.reverberation, RATE, place))
    sound += domain.surroundings.noise(count, noise_chance)
    sound *= LEVEL * decibel(1.0, noise_chance)  # the microphone's gain
    return np.asarray(np.clip(sound, -1.0, 1.0), dtype=np.float32)


def simulate(folder: Path, settings: MachineSimulation, progress: Callable[[int, int], None] | None = None) -> Path:
    """Write the simulated set to `folder` and return it; a complete set of the same settings is left alone.

    Layout, for every machine: `fan/train/section_00_source_train_normal_0000_m-n_W.wav` ..., `fan/test/...` (16 kHz,
    16 bit, mono) and `fan/attributes_00.csv` (`file_name,d1p,d1v,...`); and `simulation.json`, whose `faults` tell
    the fault of every anomaly. See `SimulatedFolder` for what is never touched.

    Args:
        folder: where the set shall lie; its parents are made.
        settings: see `MachineSimulation`.
        progress: called with (clips written, clips in all) after each clip.

    Raises:
        EndlineError: `folder` holds files that no simulation wrote, or the disk cannot be written.
    """
    made = list(clips(settings))
    simulated = SimulatedFolder(
        contents="clips",
        note="simulated recordings of machines in a factory; no real machine was recorded",
        recipe=RECIPE,
        settings=json.loads(json.dumps(asdict(settings))),  # as it is read again: lists, not tuples
        files=(*(clip.path for clip in made), *(f"{name}/attributes_00.csv" for name in settings.machines)),
        pattern=rf"({'|'.join(MACHINES)})/(attributes_00\.csv|(train|test)/section_00_[^/]+_\d{{4,}}_[^/]+\.wav)",
        megabytes=int(len(made) * settings.seconds * RATE * 2 / 1e6) + 1,
        details={"faults": {clip.path: clip.fault for clip in made if clip.fault != HEALTHY}},
    )

    def write(beside: Path) -> None:
        for done, clip in enumerate(made, start=1):
            path = beside / clip.path
            path.parent.mkdir(parents=True, exist_ok=True)
            try:
                soundfile.write(path, synthesise(clip, settings), RATE, subtype="PCM_16")
            except soundfile.LibsndfileError as error:  # what a full disk is to libsndfile
                raise OSError(str(error)) from error
            if progress is not None:
                progress(done, len(made))
        for name in settings.machines:
            table = _attributes([clip for clip in made if clip.machine == name])
            (beside / name / "attributes_00.csv").write_text(table, encoding="utf-8")

    return simulated.fill(folder, write)


def _attributes(made: Sequence[Clip]) -> str:
    """The table of a machine's attributes: file, and name and value of each attribute."""
    columns = [f"d{i}{letter}" for i in range(1, len(made[0].condition) + 1) for letter in "pv"]
    rows = [",".join(("file_name", *columns))]
    for clip in made:
        rows.append(",".join((clip.path, *(word for pair in clip.condition.items() for word in pair))))
    return "\n".join(rows) + "\n"
