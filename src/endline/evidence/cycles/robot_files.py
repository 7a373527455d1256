"""Parquet files in the layout of voraus-AD: many cycles one below the other, read piece by piece."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from endline.errors import EndlineError, FileRejected
from endline.evidence.cycles.values import Cycle
from endline.evidence.tables import check_size
from endline.robot_signals import META, SIGNALS

STEPS = 16384  # read at once: 17 MB of 130 signals
_NUMBERS = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)
LIE_APART = "its rows lie apart, between those of others", "sort the file by sample and time"
_LABELS = ("sample", "anomaly", "category", "setting")


@dataclass(frozen=True)
class Labels:
    """Labels of one row of a file.

    Example:
        >>> Labels(sample=1, anomaly=False, category=12, setting=72).category
        12
    """

    sample: int
    anomaly: bool
    category: int
    setting: int


@dataclass(frozen=True)
class Segment:
    """Consecutive rows of a file that belong to one cycle: labels of the first, where it lies, what it holds.

    `problem` says why the cycle cannot be used where the file alone shows it: labels that change, or no end.

    Example:
        >>> cycle = Cycle(("robot_voltage",), np.array([0.0, 0.01]), np.zeros((1, 2)))
        >>> Segment(Labels(1, False, 12, 72), first=0, rows=2, cycle=cycle).rows
        2
    """

    labels: Labels
    first: int
    rows: int
    cycle: Cycle
    problem: FileRejected | None = None


def is_robot_file(path: Path) -> bool:
    """Whether a Parquet file has at least the columns by which cycles of voraus-AD are distinguished."""
    try:
        return set(_LABELS) <= set(pq.read_schema(path).names)
    except Exception:  # what pyarrow raises of a damaged file is not of one kind
        return False


def check_columns(path: Path) -> None:
    """Refuse a file that is not in the layout.

    Raises:
        EndlineError: naming the columns that are missing, too many, or not numbers.
    """
    try:
        schema = pq.read_schema(path)
    except Exception as error:
        raise _damaged(path, error) from error
    wanted = [*META, *SIGNALS]
    missing = [name for name in wanted if name not in schema.names]
    extra = [name for name in schema.names if name not in wanted and name not in ("index", "__index_level_0__")]
    if missing or extra:
        differences = (("lacks", missing), ("has", extra))
        said = " and ".join(f"{word} {_listed(names)}" for word, names in differences if names)
        raise EndlineError(
            f"{path} is not in the layout of voraus-AD: it {said}. Export the {len(wanted)} published columns, or "
            "put every cycle into a file of its own (normal/*.csv)."
        )
    for name in wanted:
        kind = schema.field(name).type
        if not any(is_one(kind) for is_one in _NUMBERS):
            raise EndlineError(f"{path}: the column '{name}' holds {kind}, not numbers: export it as numbers.")


def segments(path: Path, signals: Sequence[str]) -> Iterator[Segment]:
    """Segments of a file in its order, labels and signals in one pass; a sample whose rows lie apart gives several.

    The memory is bounded by a piece and a cycle.

    Raises:
        EndlineError: when the file is damaged, or a label is missing.
    """
    held: list[NDArray[np.float64]] = []
    labels, begun, rows = None, 0, 0
    problem: FileRejected | None = None
    for first, piece in _pieces(path, (*_LABELS, "time", *signals)):
        known = piece[list(_LABELS)]
        if known.isna().any(axis=None):
            raise EndlineError(f"{path} lacks labels near row {first}: export sample, anomaly, category and setting.")
        values = piece[["time", *signals]].to_numpy(np.float64)
        samples = known["sample"].to_numpy()
        starts = np.flatnonzero(np.r_[True, samples[1:] != samples[:-1]])
        for start, end in zip(starts, np.r_[starts[1:], len(samples)], strict=True):
            if labels is not None and (start > 0 or labels.sample != int(samples[start])):
                yield Segment(labels, begun, rows, _cycle(held, signals), problem)
                labels = None
            if labels is None:
                row = known.iloc[start]
                labels = Labels(int(row["sample"]), bool(row["anomaly"]), int(row["category"]), int(row["setting"]))
                held, begun, rows, problem = [], first + int(start), 0, None
            rows += end - start
            problem = problem or _problem(labels, known.iloc[start:end], rows * values.itemsize * values.shape[1])
            if problem is None:  # else nothing of it is wanted
                held.append(values[start:end])
    if labels is not None:
        yield Segment(labels, begun, rows, _cycle(held, signals), problem)


def _problem(labels: Labels, known: pd.DataFrame, size: int) -> FileRejected | None:
    """Why a cycle of these labels, more rows of which are `known`, and which takes `size` bytes, cannot be used."""
    for name, value in (("anomaly", labels.anomaly), ("category", labels.category), ("setting", labels.setting)):
        other = known[name].to_numpy()[known[name].to_numpy() != value]
        if len(other):
            return FileRejected(
                f"its label '{name}' changes within the cycle ({int(value)} and {int(other[0])})",
                "give all rows of one sample the same labels, or cut it into several",
            )
    try:
        check_size(size)
    except FileRejected as problem:
        return problem
    return None


def _cycle(held: Sequence[NDArray[np.float64]], signals: Sequence[str]) -> Cycle:
    whole = np.concatenate(held) if held else np.zeros((0, 1 + len(signals)))
    return Cycle(tuple(signals), whole[:, 0].copy(), np.ascontiguousarray(whole[:, 1:].T))


def cycles(path: Path, positions: Sequence[tuple[int, int]], signals: Sequence[str]) -> Iterator[Cycle]:
    """Cycles that lie at (first row, rows), in the file's order; the memory is bounded by a piece and a cycle.

    Raises:
        EndlineError: when the file is damaged.
    """
    waiting = iter(positions)
    where = next(waiting, None)
    held: list[NDArray[np.float64]] = []
    for first, piece in _pieces(path, ("time", *signals)):
        values = piece.to_numpy(np.float64)
        while where is not None and where[0] < first + len(values):
            start, end = max(where[0] - first, 0), where[0] + where[1] - first
            held.append(values[start : min(end, len(values))])
            if end > len(values):
                break
            yield _cycle(held, signals)
            held = []
            where = next(waiting, None)
        if where is None:
            return


def check_labels(labels: Labels) -> None:
    """Refuse labels that contradict each other.

    Raises:
        FileRejected: for a category that is not published, or one that does not go with `anomaly`.
    """
    if not 0 <= labels.category <= 12:
        raise FileRejected(f"category {labels.category} is not one of 0 to 12", "correct it; 12 is normal operation")
    if labels.anomaly != (labels.category != 12):
        contradiction = (
            "an anomaly of category 12, normal operation" if labels.anomaly else f"no anomaly, yet {labels.category}"
        )
        raise FileRejected(f"its labels contradict each other ({contradiction})", "correct anomaly or category")


def _pieces(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, pd.DataFrame]]:
    """First row and table of one piece after the other."""
    try:
        # Unbuffered ahead: the published files may be one row group of gigabytes.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            first = 0
            for batch in file.iter_batches(STEPS, columns=list(columns), use_threads=False):
                yield first, batch.to_pandas()[list(columns)]
                first += len(batch)
    except Exception as error:  # what pyarrow raises of a damaged file is not of one kind
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> EndlineError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return EndlineError(f"{path} is damaged or cut short ({reason}): copy it again from its source.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
