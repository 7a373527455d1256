"""Tables of many cycles: one below the other, named by a column, or a recording that is cut into windows."""

import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.errors import FileRejected
from endline.evidence.cycles.cycle_files import Signals, missing, read_frame, signals_of
from endline.evidence.cycles.times import in_seconds
from endline.evidence.cycles.values import Cycle, CycleFormat, checked
from endline.evidence.labels import Own, kind_of
from endline.samples import NORMAL

GAP = 5.0  # times the usual step: a recording that pauses longer goes on as another
SORT = "sort the table by cycle and time"
_WHOLE = re.compile(r"([+-]?\d+)[.,]0*")  # a data frame's way to write whole numbers
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Piece:
    """Rows of a table that are one cycle.

    Attributes:
        name: of the cycle in its table: what the column says, or the seconds of a window.
        first, rows: where it lies.
        labels: words of its steps in the column of labels; empty without one.
        problem: why it cannot be used, where the table alone shows it.

    Example:
        >>> Piece("17", first=0, rows=2, labels=("0", "0")).kind({}, 0.0)
        'normal'
    """

    name: str
    first: int
    rows: int
    labels: tuple[str, ...] = ()
    problem: FileRejected | None = None

    def kind(self, own: Own, share: float) -> str | None:
        """What it shows: the most frequent fault where more than a share of the steps show any, None for unknown.

        Example:
            >>> piece = Piece("0-60 s", 0, 4, ("0", "0", "0", "leak"))
            >>> piece.kind({}, 0.0), piece.kind({}, 0.25)
            ('leak', 'normal')
        """
        kinds = {word: kind_of(word, own) for word in set(self.labels)}
        steps = pd.Series([kinds[word] for word in self.labels], dtype=object)
        faults = steps[steps.notna() & (steps != NORMAL)]
        if len(faults) > share * len(steps):
            return str(faults.mode().iloc[0])
        return None if steps.isna().any() or steps.empty else NORMAL


@dataclass(frozen=True)
class LongTable:
    """A table of many cycles, its signals as numbers.

    Attributes:
        form: how it is read.
        signals: names and values (signals, rows), see `Signals`.
        times: the column of the time, as it was read.
        cycles: name of the cycle of each row, (rows,); None where windows are cut.
        labels: word of each row, (rows,); None without such a column.

    Example:
        `[piece.name for piece in read_long_table(Path("shift.csv"), CycleFormat(cycle="part")).pieces()]`
    """

    form: CycleFormat
    signals: Signals
    times: pd.Series
    cycles: NDArray[np.object_] | None
    labels: NDArray[np.object_] | None

    def pieces(self) -> list[Piece]:
        """Its cycles, in the order of their rows; one whose rows lie apart is named once, with the problem.

        Raises:
            FileRejected: when rows lack the name of their cycle, or the windows' time goes back or is shorter than one.
        """
        return list(self._windows() if self.cycles is None else self._named(self.cycles))

    def cycle(self, piece: Piece) -> Cycle:
        """The cycle of a piece, checked; errors as `checked` and `in_seconds`."""
        if piece.problem is not None:
            raise piece.problem
        return self.at(piece.first, piece.rows)

    def at(self, first: int, rows: int) -> Cycle:
        """The cycle of some rows, checked; errors as `checked` and `in_seconds`."""
        s, inside = self.signals, slice(first, first + rows)
        times = in_seconds(self.times.iloc[inside], s.unit, s.time)
        return checked(Cycle(s.names, times, s.values[:, inside].copy(), s.available, s.left_out, units=s.units))

    def _named(self, names: NDArray[np.object_]) -> Iterator[Piece]:
        blank = np.flatnonzero(names == "")
        if len(blank):
            said = f"row {self.times.index[blank[0]]} names no cycle in its column '{self.form.cycle}'"
            raise FileRejected(said, "say there which cycle each row belongs to")
        starts = np.flatnonzero(np.r_[True, names[1:] != names[:-1]]) if len(names) else np.zeros(0, int)
        ends = np.r_[starts[1:], len(names)]
        runs = pd.Series(names[starts]).value_counts()
        seen: set[str] = set()
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            name = str(names[start])
            if name in seen:
                continue
            seen.add(name)
            labels = self._labels(start, end)
            problem: FileRejected | None = None
            if runs[name] > 1:
                problem = FileRejected(f"its rows lie in {runs[name]} places, between those of others", SORT)
            elif len(set(labels)) > 1:
                first, other = list(dict.fromkeys(labels))[:2]
                problem = FileRejected(
                    f"its label '{self.form.label}' changes within the cycle ('{first}' and '{other}')",
                    "give all its rows the same, or have the table cut into windows (window instead of cycle)",
                )
            yield Piece(name, start, end - start, labels, problem)

    def _windows(self) -> Iterator[Piece]:
        s, length = self.signals, self.form.window
        assert length is not None
        times = in_seconds(self.times, s.unit, s.time)
        if not np.isfinite(times).all():
            raise FileRejected("its time has gaps (NaN or infinite)", "export the time of every step")
        passed = np.diff(times)
        if (passed < 0).any():
            row = self.times.index[int(np.argmax(passed < 0)) + 1]
            raise FileRejected(
                f"its time goes back in row {row}", "sort its rows by time, and put one recording a file"
            )
        usual = float(np.median(passed[passed > 0])) if (passed > 0).any() else 0.0
        begins = np.r_[0, np.flatnonzero(passed > GAP * usual) + 1]
        used = 0
        for begin, end in zip(begins, np.r_[begins[1:], len(times)], strict=True):
            within = times[begin:end]
            whole = int((within[-1] - within[0] + usual) / length * (1 + 1e-9)) if len(within) else 0
            edges = begin + np.searchsorted(within, within[:1] + length * np.arange(whole + 1) - usual / 1000)
            for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
                seconds = times[first] - times[0]
                name = f"{round(seconds, 3):.12g} to {round(seconds + length, 3):.12g} s"
                used += last - first
                yield Piece(name, first, last - first, self._labels(first, last))
        if not used:
            longest = max((float(np.ptp(part)) for part in np.split(times, begins[1:]) if len(part)), default=0.0)
            lasts = f"{longest:.4g} s without a pause" if len(begins) > 1 else f"{longest:.4g} s"
            raise FileRejected(f"it lasts {lasts}, less than a window of {length:g} s", "choose shorter ones (window)")
        if used < len(times):
            log.warning(
                "%d of %d steps fill no window of %g s (before %d pause(s), and at the end) and are left out.",
                len(times) - used,
                len(times),
                length,
                len(begins) - 1,
            )

    def _labels(self, first: int, last: int) -> tuple[str, ...]:
        return () if self.labels is None else tuple(self.labels[first:last])


def read_long_table(path: Path, form: CycleFormat, signals: tuple[str, ...] | None = None) -> LongTable:
    """Table of many cycles of a CSV, Excel or Parquet file; arguments and errors as `read_cycle`.

    A table without the column of labels is read too: its folder may say what it shows.
    """
    if path.stat().st_size == 0:
        raise FileRejected("the file is empty (0 bytes)", "record it again")
    table = read_frame(path)
    if form.cycle is not None and form.cycle not in table:
        raise missing(form.cycle, table.columns)
    read = signals_of(table, form, signals)
    cycles = None if form.cycle is None else _words(table[form.cycle])
    labels = _words(table[form.label]) if form.label is not None and form.label in table else None
    return LongTable(form, read, table[read.time], cycles, labels)


def _words(column: pd.Series) -> NDArray[np.object_]:
    """Cells as text, whole numbers without a decimal point; missing ones are empty."""
    text = column.astype(object).where(column.notna(), "").astype(str).str.strip()
    words = {word: whole[1] if (whole := _WHOLE.fullmatch(word)) else word for word in text.unique()}
    return text.map(words).to_numpy(dtype=object)
