"""Index of the station `robot_cycle`: a folder of cycles becomes a sample table."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from endline.errors import EndlineError, FileRejected
from endline.evidence.cycles.cycle_files import SUFFIXES, read_cycle
from endline.evidence.cycles.layouts import (
    CycleLayout,
    chosen_signals,
    find_layout,
    named_signals,
    robot_files,
)
from endline.evidence.cycles.likeness import cycle_look, signal_looks
from endline.evidence.cycles.long_tables import read_long_table
from endline.evidence.cycles.readings import (
    FoundCycle,
    Gathered,
    Reading,
    Row,
    measured,
    offsets,
    rows_of,
    sample_row,
    say_repeated,
    spans,
)
from endline.evidence.cycles.resampling import common_rate
from endline.evidence.cycles.robot_files import LIE_APART, check_columns, check_labels, cycles, segments
from endline.evidence.cycles.table_index import index_tables
from endline.evidence.cycles.values import Cycle, CycleFormat, checked
from endline.evidence.decoded import DECODED
from endline.evidence.folders import Rejected, left_out, list_folder
from endline.evidence.labels import own_labels
from endline.evidence.rejected import Rejections
from endline.robot_signals import CATEGORIES, SIGNALS, TRAINING_SETTING
from endline.samples import NORMAL, TRAIN, Index, sample_table

LONGEST = 4.0  # times the usual duration that a normal cycle may last
READABLE = "CSV, Excel, Parquet or JSON"
SLOW = 0.95  # share of the wanted rate that a cycle must have been recorded at


@dataclass(frozen=True)
class CycleIndexing:
    """What the index must know.

    Attributes:
        group: name of the robot; None for that of the file or folder.
        simulated: whether the cycles were simulated.
        signals: group or list of signals, see `chosen_signals`.
        rate: Hz that the cycles are resampled to, see `common_rate`.
        stretched: whether they are stretched to one number of steps instead.
        file: file of many cycles, where there are several.
        form: where the signals of a cycle's own file are found.
        train_fraction: share in (0, 1] of the training cycles of a published split that train; the others are left out.
        seed: of their choice.
        labels: the user's own words for folders, see `own_labels`.

    Example:
        >>> CycleIndexing(rate=100.0).signals
        'all'
    """

    group: str | None = None
    simulated: bool = False
    signals: str | list[str] = "all"
    rate: float | str | None = None
    stretched: bool = False
    file: str | None = None
    form: CycleFormat = field(default_factory=CycleFormat)
    train_fraction: float = 1.0
    seed: int = 0
    labels: Mapping[str, Any] | None = None

    @property
    def words(self) -> dict[str, str | None]:
        """The user's words for folders: those of normal cycles in the form of the files, and `labels`."""
        return own_labels(dict.fromkeys(self.form.normal, NORMAL)) | own_labels(self.labels)


def index_cycles(folder: Path, settings: CycleIndexing) -> Index:
    """Read each cycle once: is it sound, and what does it show. One cycle is in memory at a time.

    Returns:
        The sample table, with the columns `first_row, rows` (position in a file of many cycles, else missing), `steps`,
        `duration` in seconds, `rate` in Hz and `look_hash` (`cycle_look`); the fact `signals` names those that all
        cycles have, `offsets` says what each is less of before it becomes float32, and `units` in what it is, where
        the files say it below their names.

    Raises:
        EndlineError: as `find_layout`, `index_tables` and `check_columns`; for unknown signals; when no cycle can be
            used, or `train_fraction` is out of range.
    """
    if not 0 < settings.train_fraction <= 1:
        raise EndlineError(f"train_fraction={settings.train_fraction} is no share: give a number above 0 and up to 1.")
    own = settings.words
    layout = find_layout(folder, own, settings.file, tables=settings.form.of_tables)
    rejections = Rejections(folder, "cycle")
    published = layout.published_split
    if settings.form.of_tables:
        about = _about(settings, folder.resolve().name)
        found, count = index_tables(folder, layout, own, settings.form, settings.signals, rejections, about)
    elif layout.robot_file is None:
        found, count = _of_files(folder, layout, settings, rejections), len(layout.files)
    else:
        signals = chosen_signals(SIGNALS, settings.signals)
        rows, count, published, usual = _of_robot(layout.robot_file, signals, settings, rejections)
        found = Gathered(rows, signals, usual)
    rows = _usable(found.rows, settings, rejections) if found.rows else []
    rejections.rows += _left_out(folder, layout)
    table = rejections.table(count, usable=bool(rows))
    samples = sample_table(rows).astype({"first_row": "Int64", "rows": "Int64"})
    if published:
        samples = _reduced(samples, settings)
    facts = {"signals": list(found.signals), "offsets": found.offsets, "units": list(found.units)}
    return Index(samples, table, published, facts)


def _left_out(folder: Path, layout: CycleLayout) -> Iterator[Rejected]:
    """What else lies in the folder, and what lies below `train/` without being normal."""
    for path, kind in layout.left_out:
        shown = "nobody knows what it shows" if kind is None else f"it shows '{kind}'"
        yield path, f"below train/, but {shown}: nothing learns from it", "move it below test/, or below train/normal/"
    listing = list_folder(folder, SUFFIXES)
    if layout.robot_file is None:
        taken = {file.path for file in layout.files} | {path for path, _ in layout.left_out}
        yield from left_out(folder, listing, taken, SUFFIXES, READABLE)
        return
    elsewhere = (f"cycles are read from {layout.robot_file.name} alone here", "put it into a raw folder of its own")
    taken = {layout.robot_file.name, *robot_files(folder)}
    yield from left_out(folder, listing, taken, SUFFIXES, READABLE, elsewhere=elsewhere)


def _of_files(folder: Path, layout: CycleLayout, settings: CycleIndexing, rejections: Rejections) -> Gathered:
    """Rows and signals of cycles with a file of their own, see `rows_of`."""
    found: list[FoundCycle] = []
    for file in track(layout.files, "Reading the cycles", transient=True):
        with rejections.instead(file.path):
            cycle = decoded_cycle(folder / file.path, settings.form, named_signals(settings.signals))
            found.append(FoundCycle(file.path, file.path, file.kind, file.split, {}, Reading.of(cycle)))
    about = _about(settings, folder.resolve().name)
    published = layout.published_split
    return rows_of(
        found, settings.signals, rejections, lambda one: rejections.digest(one.path), about, published=published
    )


def _about(settings: CycleIndexing, group: str) -> Row:
    return {"group": settings.group or group, "simulated": settings.simulated}


def _of_robot(
    path: Path, signals: tuple[str, ...], settings: CycleIndexing, rejections: Rejections
) -> tuple[list[Row], int, bool, list[float]]:
    """Rows of the cycles of one file, their number, whether it has a published split, and the offsets; one pass."""
    check_columns(path)
    rows: list[Row] = []
    seen: Counter[int] = Counter()
    repeated: Counter[str] = Counter()
    published = False
    extremes: dict[bool, list[NDArray[np.float64]]] = {True: [], False: []}  # by whether they train
    for segment in track(segments(path, signals), "Reading the cycles", transient=True):
        labels = segment.labels
        seen[labels.sample] += 1
        published |= labels.setting == TRAINING_SETTING
        name = f"{path.name}/{labels.sample}"
        if seen[labels.sample] > 1:  # reported once, below
            continue
        with rejections.instead(name):
            if segment.problem is not None:
                raise segment.problem
            check_labels(labels)
            cycle = checked(segment.cycle)
            repeated += Counter({name: cycle.repeated})
            kind = CATEGORIES[labels.category]
            row = sample_row(name, path.name, kind, training=labels.setting == TRAINING_SETTING)
            look = cycle_look(signal_looks(cycle))
            about = {**_about(settings, path.stem), "digest": cycle.digest, "look_hash": look}
            where = {"first_row": segment.first, "rows": segment.rows}
            rows.append({**row, **about, **measured(cycle), **where})
            if kind == NORMAL:
                extremes[labels.setting == TRAINING_SETTING].append(spans(cycle))
    say_repeated(repeated)
    apart = {f"{path.name}/{sample}" for sample, count in seen.items() if count > 1}
    rejections.rows += [(name, *LIE_APART) for name in sorted(apart)]
    usual = offsets(extremes[True] if published else extremes[False], len(signals))
    return [row for row in rows if row["sample_id"] not in apart], seen.total(), published, usual


def _usable(rows: list[Row], settings: CycleIndexing, rejections: Rejections) -> list[Row]:
    """Rows without normal cycles of a strange length, and without those recorded too slowly for the rate."""
    table = pd.DataFrame(rows)
    normal = (table["label"] == 0).to_numpy()
    usual = float(table.loc[normal, "duration"].median()) if normal.any() else np.inf
    wanted = common_rate(settings.rate, table["rate"])
    kept = []
    for row, duration, rate, good in zip(rows, table["duration"], table["rate"], normal, strict=True):
        with rejections.instead(str(row["sample_id"])):
            if good and duration > LONGEST * usual:
                raise FileRejected(
                    f"labelled normal, but it lasts {duration:.4g} s, {duration / usual:.3g} times as long as usual",
                    "cut the recording into cycles, or label it as an anomaly",
                )
            if not settings.stretched and rate < SLOW * wanted:
                raise FileRejected(
                    f"recorded at {rate:.4g} Hz, too slowly for {wanted:.4g} Hz",
                    f"record all cycles at one rate, or choose rate={_rounded_down(rate):g}",
                )
            kept.append(row)
    return kept


def _rounded_down(rate: float) -> float:
    """A rate (Hz) of at most three digits that is no higher."""
    digit = 10.0 ** (np.floor(np.log10(rate)) - 2)
    return float(np.floor(rate / digit * (1 + 1e-9)) * digit)


def _reduced(samples: pd.DataFrame, settings: CycleIndexing) -> pd.DataFrame:
    """Table without the training cycles beyond the share `train_fraction`."""
    training = np.flatnonzero(samples["split"] == TRAIN)
    count = round(settings.train_fraction * len(training))
    out = np.random.default_rng(settings.seed).permutation(training)[count:]
    return samples.drop(index=samples.index[out]).reset_index(drop=True)


def decoded_cycle(path: Path, form: CycleFormat, signals: Sequence[str] | None = None) -> Cycle:
    """Cycle of a file of its own, kept for the extraction; arguments and errors as `read_cycle`."""

    def decode(file: Path) -> tuple[NDArray[Any], ...]:
        cycle = read_cycle(file, form, signals)
        about = (cycle.names, cycle.available, cycle.left_out, cycle.units)
        texts = (np.array(names, dtype=object) for names in about)
        return (cycle.times, cycle.values, np.array(cycle.repeated), *texts)

    times, values, repeated, *texts = DECODED.read(path, decode, (form, signals))
    names, available, left_out, units = (tuple(each.tolist()) for each in texts)
    return Cycle(names, times, values, available, left_out, int(repeated), units)


def read_cycles(samples: pd.DataFrame, folder: Path, signals: tuple[str, ...], form: CycleFormat) -> Iterator[Cycle]:
    """Cycles of the sample table, in its order, read again one by one, or a table of many at a time.

    Raises:
        EndlineError: when a file cannot be read any more.
    """
    if form.of_tables:
        places = zip(samples["path"], samples["first_row"].astype(int), samples["rows"].astype(int), strict=True)
        for path, inside in groupby(places, lambda place: str(place[0])):
            with _still_there(folder / path):
                table = read_long_table(folder / path, form, signals)
                yield from (table.at(first, rows).only(signals) for _, first, rows in inside)
        return
    if samples["first_row"].notna().any():  # then all lie in one file
        positions = list(zip(samples["first_row"].astype(int), samples["rows"].astype(int), strict=True))
        yield from map(checked, cycles(folder / samples["path"].iloc[0], positions, signals))
        return
    for path in samples["path"]:
        with _still_there(folder / path):
            cycle = decoded_cycle(folder / path, form, signals)
        yield cycle.only(signals)


@contextmanager
def _still_there(path: Path) -> Iterator[None]:
    try:
        yield
    except (FileRejected, OSError) as problem:
        raise EndlineError(
            f"{path} was read a moment ago and cannot be any more ({problem}): restore it, run again."
        ) from problem
