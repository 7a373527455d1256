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
from endline.robot_signals import META, SIGNALS

STEPS = 16384  # read at once: 17 MB of 130 signals
_LABELS = ("sample", "anomaly", "category", "setting")


@dataclass(frozen=True)
class Stretch:
    """Consecutive rows of a file that belong to one cycle: `first`, `rows`, and the labels of the first row."""

    sample: int
    anomaly: bool
    category: int
    setting: int
    first: int
    rows: int


def is_robot_file(path: Path) -> bool:
    """Whether a Parquet file has at least the columns that tell the cycles of voraus-AD apart."""
    try:
        return set(_LABELS) <= set(pq.read_schema(path).names)
    except (OSError, pa.ArrowException):
        return False


def check_columns(path: Path) -> None:
    """Refuse a file that is not in the layout.

    Raises:
        EndlineError: naming the columns that are missing, too many, or not numbers.
    """
    try:
        schema = pq.read_schema(path)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error
    wanted = [*META, *SIGNALS]
    missing = [name for name in wanted if name not in schema.names]
    extra = [name for name in schema.names if name not in wanted and name not in ("index", "__index_level_0__")]
    if missing or extra:
        told = " and ".join(f"{word} {_listed(names)}" for word, names in (("lacks", missing), ("has", extra)) if names)
        raise EndlineError(
            f"{path} is not in the layout of voraus-AD: it {told}. Export the {len(wanted)} published columns, or "
            "put every cycle into a file of its own (normal/*.csv)."
        )
    for name in wanted:
        kind = schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise EndlineError(f"{path}: the column '{name}' holds {kind}, not numbers: export it as numbers.")


def stretches(path: Path) -> list[Stretch]:
    """The cycles of a file in its order; a sample whose rows lie apart gives several.

    Raises:
        EndlineError: when the file is damaged, or a label is missing.
    """
    found: list[Stretch] = []
    for first, piece in _pieces(path, _LABELS):
        if piece.isna().any(axis=None):
            raise EndlineError(f"{path} lacks labels near row {first}: export sample, anomaly, category and setting.")
        samples = piece["sample"].to_numpy()
        starts = np.flatnonzero(np.r_[True, samples[1:] != samples[:-1]])
        for start, rows in zip(starts, np.diff(np.r_[starts, len(samples)]), strict=True):
            label = piece.iloc[start]
            sample = int(label["sample"])
            if found and start == 0 and found[-1].sample == sample:  # goes on from the piece before
                last = found.pop()
                found.append(
                    Stretch(sample, last.anomaly, last.category, last.setting, last.first, last.rows + int(rows))
                )
                continue
            labels = (bool(label["anomaly"]), int(label["category"]), int(label["setting"]))
            found.append(Stretch(sample, *labels, first + int(start), int(rows)))
    return found


def cycles(path: Path, places: Sequence[tuple[int, int]], signals: Sequence[str]) -> Iterator[Cycle]:
    """Cycles that lie at (first row, rows), in the file's order; the memory is bounded by a piece and a cycle.

    Raises:
        EndlineError: when the file is damaged.
    """
    waiting = iter(places)
    place = next(waiting, None)
    held: list[NDArray[np.float64]] = []
    for first, piece in _pieces(path, ("time", *signals)):
        values = piece.to_numpy(np.float64)
        while place is not None and place[0] < first + len(values):
            start, end = max(place[0] - first, 0), place[0] + place[1] - first
            held.append(values[start : min(end, len(values))])
            if end > len(values):
                break
            whole = np.concatenate(held)
            yield Cycle(tuple(signals), whole[:, 0].copy(), np.ascontiguousarray(whole[:, 1:].T))
            held = []
            place = next(waiting, None)
        if place is None:
            return


def check_stretch(stretch: Stretch) -> None:
    """Refuse labels that contradict each other.

    Raises:
        FileRejected: for a category that is not published, or one that does not go with `anomaly`.
    """
    if not 0 <= stretch.category <= 12:
        raise FileRejected(f"category {stretch.category} is not one of 0 to 12", "correct it; 12 is normal operation")
    if stretch.anomaly != (stretch.category != 12):
        told = (
            "an anomaly of category 12, normal operation" if stretch.anomaly else f"no anomaly, yet {stretch.category}"
        )
        raise FileRejected(f"its labels contradict each other ({told})", "correct anomaly or category")


def _pieces(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, pd.DataFrame]]:
    """First row and table of one piece after the other."""
    try:
        # Unbuffered ahead: the published files may be one row group of gigabytes.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20) as file:
            first = 0
            for batch in file.iter_batches(STEPS, columns=list(columns), use_threads=False):
                yield first, batch.to_pandas()[list(columns)]
                first += len(batch)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> EndlineError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return EndlineError(f"{path} is damaged or cut short ({reason}): copy it again from its source.")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "")
