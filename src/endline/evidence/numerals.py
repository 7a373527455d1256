"""Text that becomes numbers, whatever its decimal mark, or a sentence that names the cell."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from endline.errors import FileRejected

MISSING = frozenset({"", "nan", "na", "n/a", "#n/a", "null", "none"})  # cells that hold no value, in lower case
_BEGUN = re.compile(r"\s*[+-]?[.,]?\d")
_PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)
_GROUPS = {mark: re.compile(rf"[1-9]\d{{0,2}}({re.escape(mark)}\d{{3}})+") for mark in ",."}
_SPACED = re.compile("(?<=\\d)[ '’\u00a0\u202f](?=\\d{3}(?!\\d))")  # thousands apart, which no decimal mark is


def as_numbers(table: pd.DataFrame, columns: Sequence[str], beside: Sequence[str] = ()) -> pd.DataFrame:
    """Columns of text as float64, rows and index as in `table`; NaN where a cell is missing.

    The decimal mark may be a point or a comma, and the other one, a space or an apostrophe may part thousands:
    `1,234.5`, `1.234,5`. What `1,234` means, the other cells of the column must say, or else those of the others.

    Args:
        table: of text, as `read_table` gives it.
        columns: names of those wanted.
        beside: names of further columns of numbers, that are not read but tell what their marks mean.

    Raises:
        FileRejected: naming column, row and cell that is no number, or whose decimal mark remains unknown.

    Example:
        >>> as_numbers(pd.DataFrame({"time": ["0,01", "0,02"], "torque": ["1.234,5", "12,345"]}), ["time", "torque"])
           time    torque
        0  0.01  1234.500
        1  0.02    12.345
    """
    texts = {name: table[name].astype(str).str.strip().str.replace("−", "-") for name in columns}
    plain = {name: _plainly(text) for name, text in texts.items()}
    if any(known is None for known in plain.values()):
        marks = {name: _marks(text) for name, text in texts.items()}
        everywhere = set().union(*marks.values(), _marks_beside(table, beside))
        for name, text in texts.items():
            # Where commas are decimal, a point may part thousands: `1.234` is then plain to a computer alone.
            if plain[name] is None or ("," in everywhere and "." not in marks[name]):
                plain[name] = _by_mark(name, text, marks[name], everywhere)
    elif (doubted := [name for name, text in texts.items() if _may_be_thousands(text, plain[name])]) and (
        "." not in set().union(*map(_marks, texts.values()), _marks_beside(table, beside))
    ):
        text = texts[doubted[0]]
        raise _either(doubted[0], text, next(cell for cell in text if "." in cell))
    return pd.DataFrame(plain, index=table.index, dtype=np.float64)


def holds_numbers(column: pd.Series) -> bool:
    """Whether any cell of a column of text starts as a number does, or all are missing: text alone is no signal."""
    if len(column) and _BEGUN.match(str(column.iloc[0])):
        return True  # as of most columns, without a look at the others
    text = column.astype(str).str.strip()
    return bool(text.str.match(_BEGUN).any() or text.str.lower().isin(MISSING).all())


def _plainly(text: pd.Series) -> NDArray[np.float64] | None:
    """Numbers of a column that is written as computers do; None where a cell is not."""
    try:
        read: NDArray[np.float64] = pa.array(text.to_numpy(dtype=object), pa.string()).cast(pa.float64()).to_numpy()
    except pa.ArrowInvalid:
        return None
    return read


def _marks(text: pd.Series) -> set[str]:
    """Decimal marks that the cells of a column leave no doubt of."""
    return {mark for cell in text.unique() if (mark := _mark(cell))}


def _marks_beside(table: pd.DataFrame, columns: Sequence[str]) -> set[str]:
    return set().union(*(_marks(table[name].astype(str).str.strip()) for name in columns))


def is_missing(cell: object) -> bool:
    """Whether a cell holds no value.

    Example:
        >>> is_missing(" n/a"), is_missing("0")
        (True, False)
    """
    return str(cell).strip().lower() in MISSING


def _mark(cell: str) -> str:
    """Decimal mark of a cell; empty where it has none, or may have either."""
    body = _SPACED.sub("", cell).lstrip("+-")
    if not re.fullmatch(r"[\d.,]*\d[\d.,]*(e[+-]?\d+)?", body, re.IGNORECASE):
        return ""
    points, commas = body.count("."), body.count(",")
    if points and commas:
        return max(".,", key=body.rfind)
    if not points and not commas:
        return ""
    own, other = (".", ",") if points else (",", ".")
    if points + commas > 1:
        return other
    return "" if _GROUPS[own].fullmatch(body) else own


def _may_be_thousands(text: pd.Series, numbers: NDArray[np.float64] | None) -> bool:
    """Whether a column has whole numbers below 1000 and such as `1.002`, where a spreadsheet has parted thousands.

    Decimals that a computer writes would have other lengths than three digits too.
    """
    if numbers is None or not len(numbers):
        return False
    sizes, thousandths = np.abs(numbers), np.abs(numbers) * 1000
    broken = sizes != np.round(sizes)
    # The numbers tell nearly all columns apart, and are much quicker asked than their cells.
    if not broken.any() or not (sizes < 1000).all() or sizes[broken].min() < 1:
        return False
    if not np.allclose(thousandths, np.round(thousandths), rtol=0, atol=1e-6):
        return False
    cells = pd.Series(text.unique())
    parted = cells.str.contains(".", regex=False)
    grouped = cells[parted].str.lstrip("+-").str.fullmatch(_GROUPS["."]).all()
    return bool(grouped and cells[~parted].str.fullmatch(r"[+-]?\d{1,3}").any())


def _either(name: str, text: pd.Series, cell: str) -> FileRejected:
    meant = _bare(cell)
    return FileRejected(
        f"'{name}' in row {_row_of(text, cell)} is '{cell}', which may be {re.sub('[.,]', '.', meant)} or "
        f"{re.sub('[.,]', '', meant)}",
        "export numbers without a mark between thousands",
    )


def _by_mark(name: str, text: pd.Series, own: set[str], everywhere: set[str]) -> NDArray[np.float64]:
    if len(own) > 1:
        row, cell = _first_with(text, ",")
        raise FileRejected(
            f"'{name}' has a decimal comma and a decimal point, row {row}: '{cell}'", "export it with one of them"
        )
    known = own or everywhere
    mark = next(iter(known)) if len(known) == 1 else ""
    numbers: dict[str, float] = {}
    for cell in text.unique():
        doubtful = not _mark(cell) and any(group.fullmatch(_bare(cell)) for group in _GROUPS.values())
        if doubtful and (not mark or (not own and "." in cell and mark == ",")):
            raise _either(name, text, cell)
        numbers[cell] = _number(cell, mark or ".", name, text)
    return np.array([numbers[cell] for cell in text], np.float64)


def _bare(cell: str) -> str:
    return _SPACED.sub("", cell).lstrip("+-")


def _number(cell: str, mark: str, name: str, text: pd.Series) -> float:
    if cell.lower() in MISSING:
        return np.nan
    other = "," if mark == "." else "."
    whole, found, rest = _SPACED.sub("", cell).partition(mark)
    grouped = _GROUPS[other].fullmatch(whole.lstrip("+-"))
    plain = (whole.replace(other, "") if grouped else whole) + ("." if found else "") + rest
    if _PLAIN.fullmatch(plain):
        return float(plain)
    if plain.lower().lstrip("+-") in ("inf", "infinity"):
        return float(plain)
    row = _row_of(text, cell)
    shown = cell if len(cell) <= 40 else cell[:37] + "..."
    raise FileRejected(
        f"'{name}' in row {row} is '{shown}', which is no number", "export it as a number, or leave it empty"
    )


def _row_of(text: pd.Series, cell: str) -> Any:
    return text.index[int((text == cell).to_numpy().argmax())]


def _first_with(text: pd.Series, mark: str) -> tuple[Any, str]:
    rows: Iterator[tuple[Any, str]] = ((row, cell) for row, cell in text.items() if _mark(cell) == mark)
    return next(rows)
