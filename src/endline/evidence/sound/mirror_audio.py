"""The station `mirror_audio`: recordings of one fold and one unfold of a mirror motor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from endline.evidence.decoded import DECODED
from endline.evidence.image_parts import wanted_arrays
from endline.evidence.mixtures import warn_of_mixture
from endline.evidence.sound.mel import MelSettings
from endline.evidence.sound.mirror_features import SoundPreparation, measure_noise_floor, quietest_standstill
from endline.evidence.sound.mirror_index import decoded, index_recording, index_recordings
from endline.evidence.sound.recorded_as import RecordedAs, ways_of
from endline.evidence.sound.recordings import sound_endings
from endline.evidence.station import Arrays, IndexRequest, Progress, Shown, Station, hottest_points
from endline.evidence.synthetic import altered_copies, items_of
from endline.reporting.exhibit import Exhibit
from endline.samples import TRAIN, Index


def index(folder: Path, request: IndexRequest) -> Index:
    """Sample table of a folder of recordings, see `index_recordings`."""
    labels = request.preparation["labels"]
    return index_recordings(folder, group=request.group or "mirror", simulated=request.simulated, labels=labels)


def prepare(
    samples: pd.DataFrame, folder: Path, facts: Mapping[str, Any], parameters: Mapping[str, Any], wanted: Arrays
) -> SoundPreparation:
    """Measure the noise floor that the recordings are raised to, and how they become arrays."""
    mel = MelSettings(**parameters["mel"])
    power = measure_noise_floor(samples, folder, parameters["noise_floor"], mel.sample_rate)
    training = samples[samples["split"] == TRAIN]
    warn_of_mixture(*ways_of(training))
    recorded = RecordedAs.of(training)
    quietest = quietest_standstill(samples, folder, power, mel.sample_rate)
    return SoundPreparation(power, wanted_arrays(parameters, wanted), parameters["draws"], mel, recorded, quietest)


def exhibits(shown: Shown, preparation: SoundPreparation) -> list[Exhibit]:
    """Waveform, mel images with their maps, and sound of the shortlisted recordings."""
    from endline.evidence.sound.exhibits import sound_exhibits  # only reports draw

    return sound_exhibits(
        shown.shortlist, shown.samples, shown.part_scores, shown.maps, shown.attribution, shown.folder, preparation
    )


def simulate(folder: Path, settings: Mapping[str, Any], progress: Progress) -> Path:
    """Simulate recordings of mirror motors."""
    from endline.simulation.sound import mirror_audio  # only runs without data need it

    return mirror_audio.simulate(folder, mirror_audio.MirrorSimulation(**settings), progress)


def synthesise(
    samples: pd.DataFrame, folder: Path, target: Path, preparation: SoundPreparation, seed: int
) -> pd.DataFrame:
    """Copies of recordings with faults in a motion, see `sound_faults`; one whose motions are not found is left out."""
    from endline.evidence.sound.synthetic import Sound, sound_faults, spread_of, write_sound  # only a choice needs it

    def read(rows: pd.DataFrame) -> Sound:
        signal, rate = DECODED.read(folder / rows["path"].iloc[0], decoded)
        return Sound(signal, int(rate), tuple(zip(rows["start"], rows["stop"], strict=True)))

    def write(rows: pd.DataFrame, sound: Sound, name: str) -> pd.DataFrame:
        write_sound(sound, path := target / f"{name}.wav")
        seen = index_recording(path)
        return seen.assign(path=f"{name}.wav", sample_id=f"{name}.wav#" + seen["part"].astype(str))

    items = items_of(samples)
    faults = sound_faults(spread_of([read(rows) for rows in items]))
    return altered_copies(((rows, read(rows)) for rows in items), faults, write, seed)


STATION = Station(
    name="mirror_audio",
    title="Mirror motors",
    evidence="recordings",
    index=index,
    prepare=prepare,
    preparation=SoundPreparation,
    attribute=hottest_points,
    exhibits=exhibits,
    simulate=simulate,
    suffixes=frozenset(sound_endings()),
    synthesise=synthesise,
)
