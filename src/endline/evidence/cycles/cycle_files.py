"""Reading one cycle from a file of its own: CSV, Excel, Parquet or JSON."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from endline.errors import FileRejected
from endline.evidence import tables
from endline.evidence.cycles.times import in_seconds, time_column
from endline.evidence.cycles.values import Cycle, CycleFormat, checked
from endline.evidence.numerals import as_numbers, holds_numbers, is_missing

SUFFIXES = (*tables.SUFFIXES, ".json", ".parquet")
INDEX = re.compile(r"__index_level_\d+__|Unnamed: 0")  # what pandas names an index without a name
TEXT = 64  # bytes of a cell of text in memory, and characters that are read of it: no number has more
JSON = 8  # bytes in memory for each of a JSON file
DATE = re.compile(r"\d{4}-\d\d-\d\d|\d{1,2}[.:/]\d\d[.:/]")
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")  # of a path into JSON: a key, or the number of an item


def read_cycle(path: Path, form: CycleFormat, signals: Collection[str] | None = None) -> Cycle:
    """Cycle of a CSV, Excel, Parquet or JSON file, checked.

    Args:
        path: the file.
        form: where its signals are found.
        signals: those to read, as far as they are there; None for all. The others need not be sound.

    Raises:
        FileRejected: when the file is damaged or too large, a column is missing or holds a cell that is no number, or
            as `checked`.
        OSError: when it cannot be opened.
        KeyError: for another kind of file.
    """
    suffix = path.suffix.lower()
    reader = {**dict.fromkeys((*tables.SUFFIXES, ".parquet"), _of_frame), ".json": _of_json}[suffix]
    if path.stat().st_size == 0:
        raise FileRejected("the file is empty (0 bytes)", "record the cycle again")
    return checked(reader(path, form, signals))


def read_frame(path: Path) -> pd.DataFrame:
    """Table of a CSV, Excel or Parquet file: columns as text, numbers or dates; errors as `read_cycle`."""
    if path.suffix.lower() == ".json":
        raise FileRejected("JSON holds one cycle a file", "export the table as CSV, Excel or Parquet")
    return _frame_of_parquet(path) if path.suffix.lower() == ".parquet" else tables.read_table(path)


def _of_frame(path: Path, form: CycleFormat, signals: Collection[str] | None) -> Cycle:
    return _of_table(read_frame(path), form, signals)


def _of_table(table: pd.DataFrame, form: CycleFormat, signals: Collection[str] | None) -> Cycle:
    read = signals_of(table, form, signals)
    times = in_seconds(table[read.time], read.unit, read.time)
    return Cycle(read.names, times, read.values, read.available, read.left_out, units=read.units)


class Signals(NamedTuple):
    """Columns of a table: names, the time's column and unit, what `Cycle` says of the others, values, and their units.

    Example:
        >>> signals_of(pd.DataFrame({"time": [0.0, 0.1], "torque": ["1,5", "2,5"]}), CycleFormat()).values.tolist()
        [[1.5, 2.5]]
    """

    names: tuple[str, ...]
    time: str
    unit: str | None
    available: tuple[str, ...]
    left_out: tuple[str, ...]
    values: NDArray[np.float64]
    units: tuple[str, ...] = ()


def signals_of(table: pd.DataFrame, form: CycleFormat, signals: Collection[str] | None = None) -> Signals:
    """The signals (signals, rows) of a table as numbers; arguments and errors as `read_cycle`."""
    time, unit = time_column(table.columns.tolist(), form.time)
    if time is None:
        raise missing(form.time, table.columns)
    if form.signals is None:
        others = {time, form.cycle, form.label, *form.ignore}
        columns = {name: name for name in table.columns if name not in others and not INDEX.fullmatch(name)}
    else:
        columns = dict(form.signals)
    available = tuple(columns)
    if signals is not None:
        columns = {name: column for name, column in columns.items() if name in signals}
    for column in columns.values():
        if column not in table:
            raise missing(column, table.columns)
    left_out = [] if form.signals else [name for name in columns.values() if not _may_be_signal(table[name])]
    columns = {name: column for name, column in columns.items() if column not in left_out}
    if not columns and signals is None:
        raise FileRejected("it has no column of numbers besides the time", "export the signals as numbers")
    texts = [column for column in dict.fromkeys(columns.values()) if not _is_numeric(table[column])]
    tells = not _is_numeric(table[time]) and len(table) > 0 and not DATE.match(str(table[time].iloc[0]))
    read = as_numbers(table, texts, [time] if tells else [])
    values = np.zeros((len(columns), len(table)))
    for row, column in enumerate(columns.values()):
        values[row] = (read if column in texts else table)[column].to_numpy(np.float64)
    below: Mapping[str, str] = table.attrs.get("units", {})
    units = tuple(below.get(column, "") for column in columns.values()) if below else ()
    unit = form.unit or unit or below.get(time)
    return Signals(tuple(columns), time, unit, available, tuple(left_out), values, units)


def _is_numeric(column: pd.Series) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column))  # of truth values too


def _may_be_signal(column: pd.Series) -> bool:
    """Whether a column is one of numbers, however they are written; dates, words, and columns left empty are none."""
    if _is_numeric(column):
        return not len(column) or bool(column.notna().any())
    if pd.api.types.is_datetime64_any_dtype(column) or not holds_numbers(column) or _all_dates(column):
        return False
    # The first tells most columns apart, and is much quicker asked.
    return not len(column) or not is_missing(column.iloc[0]) or not column.map(is_missing).all()


def _all_dates(column: pd.Series) -> bool:
    # The first tells most columns apart, and is much quicker asked.
    return len(column) > 0 and bool(DATE.match(str(column.iloc[0])) and column.astype(str).str.match(DATE).all())


def missing(column: str, columns: Sequence[str] | pd.Index) -> FileRejected:
    """What is wrong with a file of these columns that lacks one.

    Example:
        >>> missing("time", ["t", "torque"]).reason
        "it has no column 'time' (it has t, torque)"
    """
    listed = ", ".join(columns[:8]) + (", ..." if len(columns) > 8 else "")
    return FileRejected(
        f"it has no column '{column}' (it has {listed})",
        "export it, or name the right one in robot_cycle.preparation.formats",
    )


# Parquet


def _frame_of_parquet(path: Path) -> pd.DataFrame:
    try:
        return _columns(path)
    except FileRejected:
        raise
    except Exception as error:  # pyarrow raises its own kinds, some of them OSErrors without a number
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileRejected("the Parquet file is damaged or cut short", "copy it again from its source") from error


def _columns(path: Path) -> pd.DataFrame:
    """Columns as numbers, dates or text. What they would take is known before they are read: a file may be packed."""
    schema = pq.read_schema(path)
    texts = [one.name for one in schema if pa.types.is_string(one.type) or pa.types.is_large_string(one.type)]
    # A long text that repeats is packed well: read as a dictionary, it lies in memory once.
    with pq.ParquetFile(path, read_dictionary=texts) as file:
        width = sum(TEXT if name in texts else 8 for name in schema.names)
        tables.check_size(file.metadata.num_rows * width)
        read = file.read()
    if len(set(read.column_names)) < len(read.column_names):
        double = next(name for name in read.column_names if read.column_names.count(name) > 1)
        raise FileRejected(f"two columns are named '{double}'", "give every column a name of its own")
    return pd.DataFrame({name.strip(): _column(read.column(name)) for name in read.column_names})


def _column(column: pa.ChunkedArray) -> pd.Series:
    if pa.types.is_dictionary(column.type):
        parts = [part.dictionary for part in column.chunks]
        short = [pc.utf8_slice_codeunits(words.cast(pa.string()), 0, TEXT) for words in parts]
        cut = [words.to_numpy(zero_copy_only=False) for words in short]
        places = [part.indices.fill_null(-1).to_numpy(zero_copy_only=False) for part in column.chunks]
        cells = [np.append(words, "")[place] for words, place in zip(cut, places, strict=True)]  # -1: no value
        return pd.Series(np.concatenate(cells) if cells else [], dtype=object).fillna("")
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    if pa.types.is_nested(column.type) or pa.types.is_binary(column.type):
        return pd.Series(["(no number)"] * len(column), dtype=object)
    read: pd.Series = column.to_pandas()
    if pd.api.types.is_object_dtype(read) and pa.types.is_boolean(column.type):  # with gaps
        return read.astype(np.float64)
    return read


# JSON


def _of_json(path: Path, form: CycleFormat, signals: Collection[str] | None) -> Cycle:
    content = _content(path)
    if form.signals is None:
        if not isinstance(content, dict):
            raise FileRejected("it holds no signals by name", "name their paths in robot_cycle.preparation.formats")
        paths = [name for name, value in content.items() if isinstance(value, list)]
        time = time_column(paths, form.time)[0] or form.time
        lists = {name: content[name] for name in paths if name != time and (signals is None or name in signals)}
        lists[time] = content.get(time) if time in content else _at(content, time)
    else:
        named = {name: path for name, path in form.signals.items() if signals is None or name in signals}
        lists = {path: _at(content, path) for path in (*named.values(), form.time)}
    columns = {path: _list(values, path) for path, values in lists.items()}
    steps = len(columns[time if form.signals is None else form.time])
    wrong = {path: len(column) for path, column in columns.items() if len(column) != steps}
    if wrong or (len(columns) < 2 and signals is None):
        said = ", ".join(f"{path} {length}" for path, length in wrong.items()) or "no signal"
        raise FileRejected(f"its lists differ in length (time {steps}, {said})", "export whole cycles")
    return _of_table(pd.DataFrame(columns), form, signals)


def _content(path: Path) -> Any:
    tables.check_size(JSON * path.stat().st_size)
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise FileRejected("its JSON is nested too deep to be a cycle", "export the signals as flat lists") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise FileRejected("the JSON file is damaged or cut short", "copy it again from its source") from error
    except ValueError as error:  # of integers that Python does not read
        raise FileRejected("it holds an integer of thousands of digits", "look for a damaged export") from error


def _list(values: Any, path: str) -> pd.Series:
    """A list as a column of numbers, or of text where any item is text."""
    if not isinstance(values, list) or any(isinstance(value, list | dict) for value in values):
        raise FileRejected(f"'{path}' is no list of numbers", "correct its path in robot_cycle.preparation.formats")
    if any(isinstance(value, str) for value in values):
        return pd.Series(["" if value is None else str(value) for value in values], dtype=object)
    if values and all(isinstance(value, int) and abs(value) < 2**63 for value in values):
        return pd.Series(values, dtype=np.int64)
    try:
        return pd.Series(np.asarray(values, np.float64))
    except OverflowError as error:
        raise FileRejected(f"'{path}' holds an integer beyond any sensor", "look for a damaged export") from error


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
