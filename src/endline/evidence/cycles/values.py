"""One cycle of signals: what it is, what makes it unusable, and reading it from a file of its own."""

import hashlib
import json
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.errors import FileRejected

SUFFIXES = (".csv", ".json", ".parquet")
MIN_STEPS = 2
LARGEST = 1e15  # of a value: no sensor gives more, and the squares of larger ones leave the range of float32
REPEATED = 0.01  # share of the steps that may repeat the time before them: a slip of the recorder, not a fault
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")  # of a path into JSON: a key, or the number of an item


@dataclass(frozen=True)
class CycleFormat:
    """Where the signals of a cycle's own file are found.

    Attributes:
        time: column of the time in seconds; in JSON a path such as `steps[0].graph.time values`.
        signals: name -> column (or path) of each signal; None takes all columns of numbers but the time.
        normal: names of folders that hold normal cycles, besides `normal`, `good`, `ok` and `0`.

    Example:
        >>> CycleFormat(time="t", signals={"torque": "Md [Nm]"}).signals
        {'torque': 'Md [Nm]'}
    """

    time: str = "time"
    signals: Mapping[str, str] | None = None
    normal: Sequence[str] = ()


@dataclass(frozen=True)
class Cycle:
    """Signals over time.

    Attributes:
        names: of the signals.
        times: (steps,), seconds, strictly increasing.
        values: (signals, steps), finite.

    Example:
        >>> Cycle(("torque",), np.array([0.0, 0.01, 0.02]), np.zeros((1, 3))).rate
        100.0
    """

    names: tuple[str, ...]
    times: NDArray[np.float64]
    values: NDArray[np.float64]

    @property
    def digest(self) -> str:
        """SHA-256 of names, times and values, 64 hexadecimal digits."""
        digest = hashlib.sha256("\n".join(self.names).encode())
        digest.update(np.ascontiguousarray(self.times).data)
        digest.update(np.ascontiguousarray(self.values).data)
        return digest.hexdigest()

    @property
    def rate(self) -> float:
        """Steps a second, on average."""
        return float((len(self.times) - 1) / (self.times[-1] - self.times[0]))


def checked(cycle: Cycle) -> Cycle:
    """The cycle, without the few steps that repeat the time before them; others are refused.

    Raises:
        FileRejected: for a single step, time that stands still or goes back, and values that are not finite or beyond
            any measurement.
    """
    if len(cycle.times) < MIN_STEPS:
        raise FileRejected(f"a cycle of {len(cycle.times)} step(s)", "record it from its start to its end")
    if not np.isfinite(cycle.times).all():
        raise FileRejected("its time has gaps (NaN or infinite)", "export the time of every step")
    broken = np.argwhere(~np.isfinite(cycle.values))
    if len(broken):
        signal, step = broken[0]
        raise FileRejected(
            f"signal '{cycle.names[signal]}' is not finite at step {step} ({len(broken)} such values)",
            "fill gaps before, or leave the signal out (signals=...)",
        )
    beyond = np.argwhere(np.abs(cycle.values) > LARGEST)
    if len(beyond):
        signal, step = beyond[0]
        raise FileRejected(
            f"signal '{cycle.names[signal]}' is {cycle.values[signal, step]:g} at step {step}, beyond any sensor",
            "look for a broken sensor or a damaged export, or leave the signal out (signals=...)",
        )
    passed = np.diff(cycle.times)
    backward = np.flatnonzero(passed < 0)
    repeated = np.flatnonzero(passed == 0)
    if len(backward) or len(repeated) > REPEATED * len(passed):
        step = int(backward[0] if len(backward) else repeated[0]) + 1
        said = "goes back" if len(backward) else f"stands still at {len(repeated)} steps, first"
        raise FileRejected(
            f"its time {said} at step {step} ({cycle.times[step]:g} s)",
            "sort the steps, keep each once, and one cycle a file",
        )
    if not len(repeated):
        return cycle
    return Cycle(cycle.names, np.delete(cycle.times, repeated + 1), np.delete(cycle.values, repeated + 1, axis=1))


def read_cycle(path: Path, form: CycleFormat) -> Cycle:
    """Cycle of a CSV, Parquet or JSON file, checked.

    Raises:
        FileRejected: when the file is damaged, a column is missing or holds no numbers, or as `checked`.
        OSError: when it cannot be opened.
    """
    if path.stat().st_size == 0:
        raise FileRejected("the file is empty (0 bytes)", "record the cycle again")
    reader = {".csv": _read_csv, ".json": _read_json, ".parquet": _read_parquet}[path.suffix.lower()]
    return checked(reader(path, form))


def _read_csv(path: Path, form: CycleFormat) -> Cycle:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # rows longer than the header
            table = pd.read_csv(path, sep=None, engine="python", encoding_errors="strict")
    except OSError:
        raise
    except Exception as error:  # the sniffer and the parser raise almost anything on what is no table
        raise FileRejected("no table of comma-separated values", "export it as CSV with a line of names") from error
    return _of_table(table, form)


def _read_parquet(path: Path, form: CycleFormat) -> Cycle:
    try:
        table = pd.read_parquet(path)
    except Exception as error:  # pyarrow raises its own kinds, some of them OSErrors without a number
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileRejected("the Parquet file is damaged or cut short", "copy it again from its source") from error
    return _of_table(table, form)


def _of_table(table: pd.DataFrame, form: CycleFormat) -> Cycle:
    table.columns = [str(name).strip() for name in table.columns]
    if form.time not in table:
        raise _missing(form.time, list(table.columns))
    if form.signals is None:
        numbers = table.select_dtypes(include=["number", "bool"]).columns
        columns = {name: name for name in numbers if name != form.time and not name.startswith("Unnamed: ")}
        if not columns:
            raise FileRejected("it has no column of numbers besides the time", "export the signals as numbers")
    else:
        columns = dict(form.signals)
    values = [_numbers(table[column], column) for column in _present(columns.values(), table)]
    return Cycle(tuple(columns), _numbers(table[form.time], form.time), np.stack(values))


def _present(columns: Any, table: pd.DataFrame) -> list[str]:
    for column in columns:
        if column not in table:
            raise _missing(column, list(table.columns))
    return list(columns)


def _missing(column: str, columns: Sequence[str]) -> FileRejected:
    listed = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
    return FileRejected(
        f"it has no column '{column}' (it has {listed})",
        "export it, or name the right one in robot_cycle.preparation.formats",
    )


def _numbers(column: Any, name: str) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(column, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise FileRejected(f"'{name}' holds something else than numbers", "export it as numbers") from error
    if numbers.ndim != 1:
        raise FileRejected(f"'{name}' is no list of numbers", "correct its path in robot_cycle.preparation.formats")
    return numbers


def _read_json(path: Path, form: CycleFormat) -> Cycle:
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:  # bad JSON, or bytes that are no text
        raise FileRejected("the JSON file is damaged or cut short", "copy it again from its source") from error
    if form.signals is None:
        if not isinstance(content, dict):
            raise FileRejected("it holds no signals by name", "name their paths in robot_cycle.preparation.formats")
        lists = [name for name, value in content.items() if isinstance(value, list) and name != form.time]
        paths = {name: name for name in lists}
    else:
        paths = dict(form.signals)
    times = _numbers(_at(content, form.time), form.time)
    values = [_numbers(_at(content, path), path) for path in paths.values()]
    lengths = {name: len(signal) for name, signal in zip(paths, values, strict=True)}
    wrong = {name: length for name, length in lengths.items() if length != len(times)}
    if wrong or not values:
        lengths_said = ", ".join(f"{name} {length}" for name, length in wrong.items()) or "no signal"
        raise FileRejected(f"its lists differ in length (time {len(times)}, {lengths_said})", "export whole cycles")
    return Cycle(tuple(paths), times, np.stack(values))


def _at(content: Any, path: str) -> Any:
    """What lies at a path such as `steps[0].graph.torque values`."""
    for key, number in _STEP.findall(path):
        try:
            content = content[int(number)] if number else content[key]
        except (KeyError, IndexError, TypeError) as error:
            raise FileRejected(
                f"it has nothing at '{path}' ('{key or number}' is not there)",
                "record the cycle anew, or correct the path in robot_cycle.preparation.formats",
            ) from error
    return content
