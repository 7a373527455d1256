"""The station `machine_audio`: clips of running machines, as of DCASE task 2, or of one folder."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from endline.compute import Compute
from endline.detectors.sound.stack_rows import row_names
from endline.errors import EndlineError
from endline.evaluation.band_shares import band_shares
from endline.evidence.image_parts import wanted_arrays
from endline.evidence.labels import own_labels
from endline.evidence.mixtures import warn_of_mixture
from endline.evidence.sound.machine_features import CLIP_ARRAYS, ClipPreparation, is_of_stack, picture_range
from endline.evidence.sound.machine_index import Reading, clip_signal, index_clips
from endline.evidence.sound.mel import frequency_of, mel_of
from endline.evidence.sound.recorded_as import RecordedAs, ways_of
from endline.evidence.sound.recordings import sound_endings
from endline.evidence.sound.signals import DIFFERENCE, MEAN
from endline.evidence.station import Arrays, IndexRequest, Progress, Shown, Station, Window
from endline.evidence.synthetic import altered_copies, items_of
from endline.files import file_digest
from endline.reporting.exhibit import Exhibit
from endline.samples import TRAIN, Index


def index(folder: Path, request: IndexRequest) -> Index:
    """Sample table of a folder of clips, see `index_clips`."""
    outliers = request.split["outliers"]
    return index_clips(
        folder,
        group=request.group,
        simulated=request.simulated,
        reading=reading_of(request.preparation),
        outliers=[name.strip() for name in str(outliers).split(",")] if outliers else (),
        labels=own_labels(request.preparation["labels"]),
    )


def reading_of(parameters: Mapping[str, Any]) -> Reading:
    """How clips are read, of `sample_rate` and `channel`.

    Raises:
        EndlineError: for a rate or channel that cannot be.

    Example:
        >>> reading_of({"sample_rate": 16_000, "channel": 2})
        Reading(sample_rate=16000, channel='2')
    """
    rate, channel = parameters["sample_rate"], str(parameters["channel"])
    if not isinstance(rate, int) or not 4_000 <= rate <= 192_000:
        raise EndlineError(f"sample_rate={rate} is no rate of clips: give 4000 to 192000 Hz.")
    if channel not in (MEAN, DIFFERENCE) and not (channel.isdecimal() and int(channel) > 0):
        raise EndlineError(f"There is no channel '{channel}': give {MEAN}, {DIFFERENCE}, or its number from 1.")
    return Reading(rate, channel)


def prepare(
    samples: pd.DataFrame, folder: Path, facts: Mapping[str, Any], parameters: Mapping[str, Any], wanted: Arrays
) -> ClipPreparation:
    """How clips become arrays: all as long as the longest, by what the training ones are: their mel range and files."""
    reading = reading_of(parameters)
    training = samples[samples["split"] == TRAIN]
    one_channel = reading.channel.isdecimal()
    warn_of_mixture(*ways_of(training, channel_by_number=one_channel))
    preparation = ClipPreparation(
        samples=round(float(samples["seconds"].max()) * reading.sample_rate),
        reading=reading,
        arrays=wanted_arrays(parameters, wanted),
        of_clip=tuple(name for name in CLIP_ARRAYS if name in (*wanted.required, *wanted.optional)),
        height=parameters["height"],
        width=parameters["width"],
        workers=parameters["workers"],
        recorded=RecordedAs.of(training, channel_by_number=one_channel),
        seconds=(float(training["seconds"].min()), float(training["seconds"].max())),
        dropout=float(training["dropout_seconds"].median()),
    )
    low, high = picture_range(samples, folder, preparation)
    return replace(preparation, low_db=low, high_db=high)


def attribute(shown: Shown, preparation: ClipPreparation) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How much each `band` (its frequency, or the row of the stack) counts in each clip, and the `second` of its peak.

    Columns `sample_id, band, second, share, value, row, column`, see `band_shares`; no clip is compared with a nearest.
    """
    shares = band_shares(shown.maps, shown.part_scores)
    rate = preparation.reading.sample_rate
    if is_of_stack(shown.maps):
        names = row_names()
        bands = [names[int(row * len(names))] for row in shares["row"]]
    else:
        bands = [f"{frequency_of(row * mel_of(rate / 2)):.0f} Hz" for row in shares["row"]]
    seconds = shares["column"] * preparation.samples / rate
    named = shares.assign(band=pd.Series(bands, index=shares.index, dtype=str), second=seconds)
    columns = ["sample_id", "band", "second", "share", "value", "row", "column"]
    return named[columns], pd.DataFrame({"sample_id": [], "nearest": []}, dtype=str)


def exhibits(shown: Shown, preparation: ClipPreparation) -> list[Exhibit]:
    """Waveform, mel picture with its map, and sound of the shortlisted clips."""
    from endline.evidence.sound.machine_exhibits import clip_exhibits  # only reports draw

    return clip_exhibits(shown, preparation)


def windows(
    path: Path, preparation: ClipPreparation, hop: float | None, compute: Compute, follow: float | None
) -> Iterator[Window]:
    """Windows of a long recording, as long as the clips of the model, see `clip_windows`."""
    from endline.evidence.sound.clip_windows import clip_windows  # only streams read so

    return clip_windows(path, preparation, hop, compute, follow)


def simulate(folder: Path, settings: Mapping[str, Any], progress: Progress) -> Path:
    """Simulate clips of six machines."""
    from endline.simulation.sound import machine_audio  # only runs without data need it

    return machine_audio.simulate(folder, machine_audio.MachineSimulation(**settings), progress)


def synthesise(
    samples: pd.DataFrame, folder: Path, target: Path, preparation: ClipPreparation, seed: int
) -> pd.DataFrame:
    """Copies of clips with faults, see `sound_faults`; the machine runs throughout."""
    from endline.evidence.sound.synthetic import Sound, sound_faults, spread_of, write_sound  # only a choice needs it

    def read(rows: pd.DataFrame) -> Sound:
        signal = clip_signal(folder / rows["path"].iloc[0], preparation.reading)
        return Sound(signal, preparation.reading.sample_rate, ((0.0, len(signal) / preparation.reading.sample_rate),))

    def write(rows: pd.DataFrame, sound: Sound, name: str) -> pd.DataFrame:
        write_sound(sound, path := target / f"{name}.wav")
        return rows.assign(sample_id=f"{name}.wav", path=f"{name}.wav", digest=file_digest(path))

    items = items_of(samples)
    faults = sound_faults(spread_of([read(rows) for rows in items]))
    return altered_copies(((rows, read(rows)) for rows in items), faults, write, seed)


STATION = Station(
    name="machine_audio",
    title="Running machines",
    evidence="clips",
    index=index,
    prepare=prepare,
    preparation=ClipPreparation,
    attribute=attribute,
    exhibits=exhibits,
    simulate=simulate,
    suffixes=frozenset(sound_endings()),
    more_training="take more of them (shots)",
    windows=windows,
    synthesise=synthesise,
)
