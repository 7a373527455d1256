"""Index of the station `robot_cycle`: a folder of cycles becomes a sample table."""

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import track

from endline.errors import EndlineError, FileRejected
from endline.evidence.cycles.cycle_files import SUFFIXES, read_cycle
from endline.evidence.cycles.layouts import (
    CycleFile,
    CycleLayout,
    chosen_signals,
    find_layout,
    named_signals,
    robot_files,
)
from endline.evidence.cycles.likeness import cycle_look, signal_looks
from endline.evidence.cycles.robot_files import check_columns, check_labels, cycles, segments
from endline.evidence.cycles.values import Cycle, CycleFormat, checked
from endline.evidence.decoded import DECODED
from endline.evidence.folders import Rejected, left_out, list_folder
from endline.evidence.labels import own_labels
from endline.evidence.rejected import Rejections
from endline.robot_signals import CATEGORIES, SIGNALS, TRAINING_SETTING
from endline.samples import NORMAL, TEST, TRAIN, Index, sample_table

LONGEST = 4.0  # times the usual duration that a normal cycle may last
READABLE = "CSV, Excel, Parquet or JSON"
FAR, FAR_RANGES = 2.0**16, 2.0**10  # from 0, and times its range: a signal that lies so far is less an offset
SORT = "sort the file by sample and time"
SLOW = 0.95  # share of the wanted rate that a cycle must have been recorded at
log = logging.getLogger(__name__)
Row = dict[str, object]


@dataclass(frozen=True)
class CycleIndexing:
    """What the index must know.

    Attributes:
        group: name of the robot; None for that of the file or folder.
        simulated: whether the cycles were simulated.
        signals: group or list of signals, see `chosen_signals`.
        rate: Hz that the cycles are resampled to; None for their own.
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
    rate: float | None = None
    stretched: bool = False
    file: str | None = None
    form: CycleFormat = field(default_factory=CycleFormat)
    train_fraction: float = 1.0
    seed: int = 0
    labels: Mapping[str, Any] | None = None


def index_cycles(folder: Path, settings: CycleIndexing) -> Index:
    """Read each cycle once: is it sound, and what does it show. One cycle is in memory at a time.

    Returns:
        The sample table, with the columns `first_row, rows` (position in a file of many cycles, else missing), `steps`,
        `duration` in seconds, `rate` in Hz and `look_hash` (`cycle_look`); the fact `signals` names those that all
        cycles have, and `offsets` says what each is less of before it becomes float32.

    Raises:
        EndlineError: as `find_layout` and `check_columns`; for unknown signals; when no cycle can be used, or
            `train_fraction` is out of range.
    """
    if not 0 < settings.train_fraction <= 1:
        raise EndlineError(f"train_fraction={settings.train_fraction} is no share: give a number above 0 and up to 1.")
    own = own_labels(dict.fromkeys(settings.form.normal, NORMAL)) | own_labels(settings.labels)
    layout = find_layout(folder, own, settings.file)
    rejections = Rejections(folder, "cycle")
    if layout.robot_file is None:
        rows, signals, offsets = _of_files(folder, layout, settings, rejections)
        count, published = len(layout.files), layout.published_split
    else:
        signals = chosen_signals(SIGNALS, settings.signals)
        rows, count, published, offsets = _of_robot(layout.robot_file, signals, settings, rejections)
    if rows:
        rows = _usable(rows, settings, rejections)
    rejections.rows += _left_out(folder, layout)
    table = rejections.table(count, usable=bool(rows))
    samples = sample_table(rows).astype({"first_row": "Int64", "rows": "Int64"})
    if published:
        samples = _reduced(samples, settings)
    return Index(samples, table, published, {"signals": list(signals), "offsets": offsets})


def index_cycle(path: Path, form: CycleFormat, signals: tuple[str, ...]) -> tuple[pd.DataFrame, Cycle]:
    """Sample table of one file whose label is unknown, and its cycle.

    Raises:
        EndlineError: when the file cannot be used, or lacks a signal.
    """
    try:
        cycle = read_cycle(path, form, signals)
    except FileRejected as problem:
        raise EndlineError(f"{path}: {problem}") from problem
    except OSError as problem:
        raise EndlineError(f"{path} cannot be read ({problem.strerror}): correct the path.") from problem
    except KeyError as problem:
        kinds = ", ".join(suffix[1:] for suffix in SUFFIXES)
        raise EndlineError(f"{path} is none of the files of cycles: export it as {kinds}.") from problem
    if any(name not in cycle.names for name in signals):
        # The choice among what the file holds says which one is missing.
        chosen_signals([name for name in cycle.available if name not in cycle.left_out], signals)
    _say_repeated({path.name: cycle.repeated} if cycle.repeated else {})
    return sample_table([{**_row(path.name, "", None, False), **_measured(cycle)}]), only(cycle, signals)


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


def only(cycle: Cycle, signals: tuple[str, ...]) -> Cycle:
    """The cycle with these signals alone, in this order."""
    rows = [cycle.names.index(name) for name in signals]
    return Cycle(signals, cycle.times, cycle.values[rows])


class _Read(NamedTuple):
    """What is kept of a cycle that was read: all but its values."""

    names: tuple[str, ...]
    available: tuple[str, ...]
    left_out: tuple[str, ...]
    repeated: int
    measured: Row
    spans: NDArray[np.float64]
    looks: NDArray[np.float32]


def _of_files(
    folder: Path, layout: CycleLayout, settings: CycleIndexing, rejections: Rejections
) -> tuple[list[Row], tuple[str, ...], list[float]]:
    """Rows of cycles with a file of their own, the signals that most of the normal ones have, and their offsets."""
    read: dict[CycleFile, _Read] = {}
    for file in track(layout.files, "Reading the cycles", transient=True):
        with rejections.instead(file.path):
            cycle = decoded_cycle(folder / file.path, settings.form, named_signals(settings.signals))
            told = (cycle.names, cycle.available, cycle.left_out, cycle.repeated)
            read[file] = _Read(*told, _measured(cycle), _spans(cycle), signal_looks(cycle))
    normals = [one for file, one in read.items() if file.kind == NORMAL]
    names = _usual_names(normals or list(read.values()), settings.signals) if read else ()
    rows: dict[CycleFile, Row] = {}
    for file in sorted(read, key=lambda file: file.kind != NORMAL):  # of two copies the normal one stays
        with rejections.instead(file.path):
            one = read[file]
            _check_names(one.names, names)
            digest = rejections.digest(file.path)
            group = settings.group or folder.resolve().name
            row = _row(file.path, group, file.kind, file.split == "train")
            about = {"simulated": settings.simulated, "digest": digest}
            look = cycle_look(one.looks[[one.names.index(name) for name in names]])
            rows[file] = {**row, **about, **one.measured, "look_hash": look}
    _say_left_out(Counter(name for one in read.values() for name in one.left_out))
    _say_repeated({file.path: one.repeated for file, one in read.items() if one.repeated})
    learns = "train" if layout.published_split else "test"  # the split that the layout gives to those that may train
    learned = [read[file] for file in rows if file.kind == NORMAL and file.split == learns]
    spans = [one.spans[:, [one.names.index(name) for name in names]] for one in learned]
    return [rows[file] for file in layout.files if file in rows], names, _offsets(spans, len(names))


def _usual_names(read: Sequence[_Read], wanted: str | list[str]) -> tuple[str, ...]:
    """Signals that most of some cycles have, whatever their order; or those wanted, in the order of the first."""
    named = named_signals(wanted)
    if named is None:
        usual, _ = Counter(frozenset(one.names) for one in read).most_common(1)[0]
        return next(one.names for one in read if frozenset(one.names) == usual)
    whole = next((one for one in read if set(named) <= set(one.names)), read[0])
    return chosen_signals([name for name in whole.available if name not in whole.left_out], list(named))


def _check_names(own: Sequence[str], names: Sequence[str]) -> None:
    missing = [name for name in names if name not in own]
    extra = [name for name in own if name not in names]
    if missing or extra:
        said = f"it lacks the signal '{missing[0]}'" if missing else f"it has the signal '{extra[0]}' that others lack"
        raise FileRejected(said, "record all cycles with the same signals, or name those to use (--params=signals=...)")


def _say_left_out(counts: Mapping[str, int]) -> None:
    for name, count in counts.items():
        log.warning("The column '%s' holds no numbers in %d file(s), and is no signal.", name, count)


def _say_repeated(counts: Mapping[str, int]) -> None:
    """Say which cycles lost steps; name -> their number."""
    if counts:
        first = next(iter(counts))
        log.warning(
            "%d step(s) of %d cycle(s) repeat the time before them and are left out (first: %s).",
            sum(counts.values()),
            len(counts),
            first,
        )


def _of_robot(
    path: Path, signals: tuple[str, ...], settings: CycleIndexing, rejections: Rejections
) -> tuple[list[Row], int, bool, list[float]]:
    """Rows of the cycles of one file, their number, whether it has a published split, and the offsets; one pass."""
    check_columns(path)
    rows: list[Row] = []
    seen: Counter[int] = Counter()
    repeated: Counter[str] = Counter()
    published = False
    spans: dict[bool, list[NDArray[np.float64]]] = {True: [], False: []}  # by whether they train
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
            row = _row(name, settings.group or path.stem, kind, labels.setting == TRAINING_SETTING)
            where = {"path": path.name, "first_row": segment.first, "rows": segment.rows}
            look = cycle_look(signal_looks(cycle))
            about = {"simulated": settings.simulated, "digest": cycle.digest, "look_hash": look}
            rows.append({**row, **about, **_measured(cycle), **where})
            if kind == NORMAL:
                spans[labels.setting == TRAINING_SETTING].append(_spans(cycle))
    _say_repeated(repeated)
    apart = {f"{path.name}/{sample}" for sample, count in seen.items() if count > 1}
    rejections.rows += [(name, "its rows lie apart, between those of others", SORT) for name in sorted(apart)]
    offsets = _offsets(spans[True] if published else spans[False], len(signals))
    return [row for row in rows if row["sample_id"] not in apart], seen.total(), published, offsets


def _spans(cycle: Cycle) -> NDArray[np.float64]:
    """Smallest and largest value of each signal, (2, signals)."""
    return np.stack([cycle.values.min(1), cycle.values.max(1)])


def _offsets(spans: Sequence[NDArray[np.float64]], signals: int) -> list[float]:
    """Of each signal the middle of its range, where that is so far from 0 that float32 would lose the range; else 0."""
    if not spans:
        return [0.0] * signals
    low, high = np.min([span[0] for span in spans], 0), np.max([span[1] for span in spans], 0)
    middle = np.round((low + high) / 2)
    far = (np.abs(middle) > FAR_RANGES * (high - low)) & (np.abs(middle) >= FAR)
    return [float(offset) for offset in np.where(far, middle, 0.0)]


def _row(name: str, group: str, kind: str | None, training: bool) -> Row:
    return {
        "sample_id": name,
        "path": name,
        "group": group,
        "split": TRAIN if training and kind == NORMAL else TEST,
        "label": None if kind is None else int(kind != NORMAL),
        "kind": kind,
    }


def _measured(cycle: Cycle) -> Row:
    duration = float(cycle.times[-1] - cycle.times[0])
    return {"first_row": None, "rows": None, "steps": len(cycle.times), "duration": duration, "rate": cycle.rate}


def _usable(rows: list[Row], settings: CycleIndexing, rejections: Rejections) -> list[Row]:
    """Rows without normal cycles of a strange length, and without those recorded too slowly for the rate."""
    table = pd.DataFrame(rows)
    normal = (table["label"] == 0).to_numpy()
    usual = float(table.loc[normal, "duration"].median()) if normal.any() else np.inf
    wanted = settings.rate or float(table["rate"].median())
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
        texts = (np.array(names, dtype=object) for names in (cycle.names, cycle.available, cycle.left_out))
        return (cycle.times, cycle.values, np.array(cycle.repeated), *texts)

    times, values, repeated, *texts = DECODED.read(path, decode, (form, signals))
    names, available, left_out = (tuple(each.tolist()) for each in texts)
    return Cycle(names, times, values, available, left_out, int(repeated))


def read_cycles(samples: pd.DataFrame, folder: Path, signals: tuple[str, ...], form: CycleFormat) -> Iterator[Cycle]:
    """Cycles of the sample table, in its order, read again one by one.

    Raises:
        EndlineError: when a file cannot be read any more.
    """
    if samples["first_row"].notna().any():  # then all lie in one file
        positions = list(zip(samples["first_row"].astype(int), samples["rows"].astype(int), strict=True))
        yield from map(checked, cycles(folder / samples["path"].iloc[0], positions, signals))
        return
    for path in samples["path"]:
        try:
            yield only(decoded_cycle(folder / path, form, signals), signals)
        except (FileRejected, OSError) as problem:
            raise EndlineError(
                f"{folder / path} was read a moment ago and cannot be any more ({problem}): restore it, run again."
            ) from problem
