"""What an index keeps of the cycles that it reads: which signals they share, how long they last, where values lie."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from endline.errors import FileRejected
from endline.evidence.cycles.doubtful_signals import warn_of_doubtful
from endline.evidence.cycles.layouts import chosen_signals, named_signals
from endline.evidence.cycles.likeness import cycle_look, signal_looks
from endline.evidence.cycles.signal_units import check_units, usual_units
from endline.evidence.cycles.values import Cycle
from endline.evidence.rejected import Rejections
from endline.samples import NORMAL, TEST, TRAIN

FAR, FAR_RANGES = 2.0**16, 2.0**10  # from 0, and times its range: a signal that lies so far is less an offset
Row = dict[str, object]
log = logging.getLogger(__name__)


class Reading(NamedTuple):
    """What is kept of a cycle that was read: all but its values.

    `spans` are their extremes (2, signals), and `looks` the signals' as `signal_looks` has them.

    Example:
        >>> Reading.of(Cycle(("torque",), np.array([0.0, 0.5]), np.array([[1.0, 3.0]]))).spans.tolist()
        [[1.0], [3.0]]
    """

    names: tuple[str, ...]
    available: tuple[str, ...]
    left_out: tuple[str, ...]
    repeated: int
    measured: Row
    spans: NDArray[np.float64]
    looks: NDArray[np.float32]
    units: tuple[str, ...] = ()

    @classmethod
    def of(cls, cycle: Cycle) -> "Reading":
        """That of a cycle."""
        about = (cycle.names, cycle.available, cycle.left_out, cycle.repeated)
        return cls(*about, measured(cycle), spans(cycle), signal_looks(cycle), cycle.units)


class FoundCycle(NamedTuple):
    """A cycle that was read: its name, file, kind and split (as `CycleFile` has them), and more columns of its row.

    Example:
        >>> reading = Reading.of(Cycle(("torque",), np.array([0.0, 0.5]), np.zeros((1, 2))))
        >>> FoundCycle("shift.csv/7", "shift.csv", "normal", "test", {"first_row": 0, "rows": 2}, reading).kind
        'normal'
    """

    name: str
    path: str
    kind: str | None
    split: str
    where: Mapping[str, object]
    reading: Reading


class Gathered(NamedTuple):
    """Rows of the sample table, and of the signals that the cycles have the names, `offsets` and `usual_units`.

    Example:
        >>> Gathered([], ("torque",), [0.0]).units
        ()
    """

    rows: list[Row]
    signals: tuple[str, ...]
    offsets: list[float]
    units: tuple[str, ...] = ()


def rows_of(
    found: Sequence[FoundCycle],
    signals: str | list[str],
    rejections: Rejections,
    digest: Callable[[FoundCycle], str],
    about: Mapping[str, object],
    *,
    published: bool,
) -> Gathered:
    """Rows of the sample table, the signals that most of the normal cycles have, their offsets and units.

    Args:
        found: the cycles.
        signals: those wanted, see `named_signals`.
        rejections: of the cycles that lack a signal, have one in another unit or are copies; of two copies the normal
            one stays.
        digest: of a cycle; `FileRejected` for a copy.
        about: columns that all rows share.
        published: whether the cycles of the split `train` are those that train.
    """
    normals = [one.reading for one in found if one.kind == NORMAL]
    names = usual_names(normals or [one.reading for one in found], signals) if found else ()
    units = usual_units([(one.names, one.units) for one in normals or [one.reading for one in found]], names)
    rows: dict[str, Row] = {}
    learned: list[NDArray[np.float64]] = []
    seen_spans: list[tuple[NDArray[np.float64], bool | None]] = []
    for one in sorted(found, key=lambda one: one.kind != NORMAL):
        with rejections.instead(one.name):
            own = one.reading.names
            check_names(own, names)
            check_units(own, one.reading.units, names, units)
            row = sample_row(one.name, one.path, one.kind, training=one.split == "train")
            at = [own.index(name) for name in names]
            seen = {"digest": digest(one), "look_hash": cycle_look(one.reading.looks[at])}
            rows[one.name] = {**row, **about, **seen, **one.reading.measured, **one.where}
            seen_spans.append((one.reading.spans[:, at], None if one.kind is None else one.kind == NORMAL))
            if one.kind == NORMAL and one.split == ("train" if published else "test"):
                learned.append(one.reading.spans[:, at])
    say_left_out(Counter(name for one in found for name in one.reading.left_out))
    say_repeated({one.name: one.reading.repeated for one in found if one.reading.repeated})
    if seen_spans:
        warn_of_doubtful(names, np.stack([span for span, _ in seen_spans]), [normal for _, normal in seen_spans])
    return Gathered([rows[one.name] for one in found if one.name in rows], names, offsets(learned, len(names)), units)


def sample_row(name: str, path: str, kind: str | None, *, training: bool) -> Row:
    """Columns of the sample table that say which cycle it is and what it shows.

    Example:
        >>> sample_row("normal/1.csv", "normal/1.csv", "normal", training=False)["label"]
        0
    """
    return {
        "sample_id": name,
        "path": path,
        "split": TRAIN if training and kind == NORMAL else TEST,
        "label": None if kind is None else int(kind != NORMAL),
        "kind": kind,
    }


def measured(cycle: Cycle) -> Row:
    """Columns of the sample table that say how long and how densely a cycle was recorded.

    Example:
        >>> measured(Cycle(("torque",), np.array([0.0, 0.5, 1.0]), np.zeros((1, 3))))["rate"]
        2.0
    """
    about = {"steps": len(cycle.times), "duration": cycle.duration, "rate": cycle.rate, "pause": cycle.pause}
    return {"first_row": None, "rows": None, **about}


def usual_names(read: Sequence[Reading], wanted: str | list[str]) -> tuple[str, ...]:
    """Signals that most of some cycles have, whatever their order; or those wanted, in the order of the first.

    Raises:
        EndlineError: as `chosen_signals`.
    """
    named = named_signals(wanted)
    if named is None:
        usual, _ = Counter(frozenset(one.names) for one in read).most_common(1)[0]
        return next(one.names for one in read if frozenset(one.names) == usual)
    whole = next((one for one in read if set(named) <= set(one.names)), read[0])
    return chosen_signals([name for name in whole.available if name not in whole.left_out], list(named))


def check_names(own: Sequence[str], names: Sequence[str]) -> None:
    """Refuse a cycle whose signals are others than `names`.

    Raises:
        FileRejected: naming the first that is missing, or too many.
    """
    missing = [name for name in names if name not in own]
    extra = [name for name in own if name not in names]
    if missing or extra:
        said = f"it lacks the signal '{missing[0]}'" if missing else f"it has the signal '{extra[0]}' that others lack"
        raise FileRejected(said, "record all cycles with the same signals, or name those to use (--params=signals=...)")


def spans(cycle: Cycle) -> NDArray[np.float64]:
    """Smallest and largest value of each signal, (2, signals)."""
    return np.stack([cycle.values.min(1), cycle.values.max(1)])


def offsets(spans: Sequence[NDArray[np.float64]], signals: int) -> list[float]:
    """Of each signal the middle of its range, where that is so far from 0 that float32 would lose the range; else 0.

    Example:
        >>> offsets([np.array([[2.0**31, 0.0], [2.0**31 + 90, 5.0]])], 2)
        [2147483693.0, 0.0]
    """
    if not spans:
        return [0.0] * signals
    low, high = np.min([span[0] for span in spans], 0), np.max([span[1] for span in spans], 0)
    middle = np.round((low + high) / 2)
    far = (np.abs(middle) > FAR_RANGES * (high - low)) & (np.abs(middle) >= FAR)
    return [float(offset) for offset in np.where(far, middle, 0.0)]


def say_left_out(counts: Mapping[str, int]) -> None:
    """Say which columns are no signals; name -> number of cycles."""
    for name, count in counts.items():
        log.warning("The column '%s' holds no numbers in %d file(s), and is no signal.", name, count)


def say_repeated(counts: Mapping[str, int]) -> None:
    """Say which cycles lost steps; name -> their number."""
    if counts:
        first = next(iter(counts))
        log.warning(
            "%d step(s) of %d cycle(s) repeat the time before them and are left out (first: %s).",
            sum(counts.values()),
            len(counts),
            first,
        )
