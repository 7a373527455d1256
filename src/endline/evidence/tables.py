"""Tables that users export: CSV of any kind, and Excel, read as text."""

import codecs
import csv
import io
import logging
import os
import re
import warnings
import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from endline.errors import EndlineError, FileRejected
from endline.evidence.numerals import holds_numbers

LIMIT_NAME = "ENDLINE_TABLE_LIMIT"  # of the environment: it depends on the memory of the machine, not on the data
LIMIT = 100  # MB of one table: as text it takes several times that
SUFFIXES = (".csv", ".tsv", ".xlsx")
DELIMITERS = "\t;|,"  # a comma last: it may be the decimal mark of a table that another one divides
SAMPLE = 100  # lines by which the delimiter is recognised
CELL = 64  # bytes that a cell of a workbook takes in memory, about
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_CONTROL = re.compile(r"[\x00-\x08\x0e-\x1f]")  # never in a table of text
_BRACKETED = re.compile(r"[\[(<].*[\])>]")
_UNITS = frozenset(
    """s sec ms us µs μs ns min h hz khz rpm 1/min 1/s n kn nm n·m n*m ncm mm cm m µm μm um rad deg ° m/s mm/s rad/s
    rad/s² rad/s^2 °/s deg/s m/s² m/s^2 g kg a ma v mv kv w kw bar mbar pa kpa mpa psi k c °c f °f % - inc count counts
    l/min j ohm ω db""".split()  # noqa: SIM905  # a list is three times as long
)
log = logging.getLogger(__name__)


def read_table(path: Path) -> pd.DataFrame:
    """Table of a CSV or Excel file as text; nothing is guessed: a label `007` stays `007`, an empty cell is `""`.

    CSV: UTF-8 or UTF-16 with or without a byte order mark, else Windows-1252; divided by comma, semicolon, tab or bar,
    or as a first line `sep=;` says. Excel: the first sheet that holds anything; a date is text as ISO 8601 writes it.

    Returns:
        Columns of `str` by the names in the first row, index `row`: the number of the row in the file, from 1. A row of
        units below the names is no row of the table; `attrs["units"]` holds it by column.

    Raises:
        FileRejected: when the file is empty, too large, no table, or names a column twice or not at all.
        OSError: when it cannot be opened.
    """
    check_size(path.stat().st_size)
    content = path.read_bytes()
    if not content.strip():
        raise FileRejected("the file is empty (0 bytes)" if not content else "the file is blank", "export it again")
    if content.startswith(b"PK\x03\x04"):
        return _with_names(_workbook(content))
    if content.startswith(b"\xd0\xcf\x11\xe0"):
        raise FileRejected(
            "it is an Excel file of the old format, or one with a password", "save it as .xlsx without a password"
        )
    return _with_names(_rows_of_text(_decoded(content)))


def read_own_table(path: Path) -> pd.DataFrame:
    """A table that the user lays beside the data, as `read_table` reads it.

    Raises:
        EndlineError: when it cannot be read: without it the run would take the data for what they are not.
    """
    try:
        return read_table(path)
    except FileRejected as problem:
        raise EndlineError(f"{path} cannot be read ({problem.reason}): {problem.remedy}.") from problem
    except OSError as problem:
        raise EndlineError(f"{path} cannot be read ({problem.strerror}): check its rights and the disk.") from problem


def table_limit() -> int:
    """Bytes that one table may take: `ENDLINE_TABLE_LIMIT` of the environment in MB, else 100 MB.

    Raises:
        EndlineError: when the environment names no positive number.
    """
    named = os.environ.get(LIMIT_NAME, str(LIMIT))
    try:
        megabytes = float(named)
    except ValueError:
        megabytes = 0.0
    if not 0 < megabytes < np.inf:
        raise EndlineError(f"{LIMIT_NAME}={named} is no size: give a number of MB, such as {LIMIT_NAME}=1000.")
    return int(megabytes * 1e6)


def check_size(size: int) -> None:
    """Refuse a table that would take more memory than `table_limit`; `size` in bytes.

    Raises:
        FileRejected: naming the limit and how it is raised.
    """
    limit = table_limit()
    if size > limit:
        raise FileRejected(
            f"it would take {size / 1e6:.4g} MB, more than the {limit / 1e6:.4g} MB that one table may",
            f"cut it into smaller files, or raise the limit ({LIMIT_NAME}={int(np.ceil(size / 1e6))}, in MB)",
        )


# Text


def _decoded(content: bytes) -> str:
    named = next((name for bom, name in _BOMS if content.startswith(bom)), None)
    even, odd = content[0:2000:2].count(b"\x00"), content[1:2000:2].count(b"\x00")
    if named is None and 4 * (even + odd) > len(content[:2000]):  # every other byte of text in Latin letters
        named = "utf-16-be" if even > odd else "utf-16-le"
    for name in (named,) if named else ("utf-8", "cp1252"):
        try:
            text = content.decode(name)
        except UnicodeDecodeError:
            continue
        if not _CONTROL.search(text):
            return text
    raise FileRejected("no table of comma-separated values", "export it as CSV (UTF-8) with a line of names")


def _rows_of_text(text: str) -> pd.DataFrame:
    named = re.match(r"""\s*"?sep=(.)"?[^\S\t]*\r?\n""", text, re.IGNORECASE)
    skipped = text[: named.end()].count("\n") if named else 0
    text = text[named.end() :] if named else text
    delimiter = named[1] if named else _delimiter(text)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(
                io.StringIO(text),
                sep=delimiter,
                header=None,
                index_col=False,
                dtype=str,
                keep_default_na=False,
                skip_blank_lines=False,
                skipinitialspace=delimiter == ",",
            )
    except (ValueError, OverflowError, pd.errors.ParserWarning) as error:  # pandas' errors are kinds of ValueError
        raise _ragged(str(error), skipped) from error
    table.index += 1 + skipped
    return table


def _ragged(said: str, skipped: int) -> FileRejected:
    counted = re.search(r"Expected (\d+) fields in line (\d+), saw (\d+)", said)
    if counted:
        return FileRejected(
            f"row {int(counted[2]) + skipped} has {counted[3]} cells, the first one {counted[1]}",
            "export every row with as many cells as there are names",
        )
    return FileRejected("no table of comma-separated values", "export it as CSV with a line of names")


def _delimiter(text: str) -> str:
    """The character by which all first lines have the same number of cells, else that which parts the line of names."""
    end = 0
    for _ in range(SAMPLE):
        end = text.find("\n", end) + 1
        if not end:
            break
    lines = text[: end or len(text)].splitlines()
    parts: list[tuple[int, str]] = []
    for delimiter in DELIMITERS:
        try:
            counts = [len(row) for row in csv.reader(lines, delimiter=delimiter) if any(cell.strip() for cell in row)]
        except csv.Error:
            continue
        if counts and min(counts) == max(counts) > 1:
            return delimiter
        parts.append((counts[0] if counts else 0, delimiter))
    return max(parts, key=lambda part: part[0], default=(0, ","))[1]


# Excel


def _workbook(content: bytes) -> pd.DataFrame:
    from openpyxl import load_workbook  # only those who have a workbook wait for its import

    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            check_size(sum(part.file_size for part in archive.infolist()))
            names = archive.namelist()
    except zipfile.BadZipFile as error:
        raise _damaged_workbook() from error
    if "xl/workbook.xml" not in names:
        raise FileRejected("it is an archive, not a table", "export the table as CSV or .xlsx")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of styles and extensions that hold no cell
            book = load_workbook(io.BytesIO(content), read_only=True, data_only=True)
            sheets = {sheet.title: _cells(sheet) for sheet in book.worksheets}
            book.close()
    except (FileRejected, MemoryError):
        raise
    except Exception as error:  # what a damaged workbook raises comes from XML, zip and openpyxl's own descriptors
        raise _damaged_workbook() from error
    filled = {title: cells for title, cells in sheets.items() if len(cells)}
    if not filled:
        raise FileRejected("no sheet of the workbook holds anything", "export the table again")
    title, *others = filled
    if others:
        log.warning("Of a workbook, the sheet '%s' is read and '%s' is not.", title, "', '".join(others))
    return filled[title]


def _damaged_workbook() -> FileRejected:
    return FileRejected("the Excel file is damaged or cut short", "copy it again from its source, or save it as CSV")


def _cells(sheet: Any) -> pd.DataFrame:
    """Cells as text, without the empty rows; index: the number of the row."""
    sheet.reset_dimensions()  # which a file may overstate
    taken = 0
    rows: dict[int, list[str]] = {}
    for number, row in enumerate(sheet.iter_rows(), 1):
        texts = [_text(cell) for cell in row]
        taken += CELL * len(row)
        check_size(taken)
        if any(texts):
            rows[number] = texts
    return pd.DataFrame.from_dict(rows, orient="index")


def _text(cell: Any) -> str:
    value = cell.value
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int) and re.fullmatch("00+", cell.number_format or ""):
        return str(value).zfill(len(cell.number_format))  # shown as 007
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)


# The first rows


def _with_names(rows: pd.DataFrame) -> pd.DataFrame:
    """The table below the row of names, and below that of units where there is one."""
    rows = rows.fillna("").apply(lambda column: column.astype(str).str.strip())
    rows = rows.loc[(rows != "").any(axis=1)]
    if rows.empty:
        raise FileRejected("the file is blank", "export it again")
    names = rows.iloc[0].tolist()
    table = rows.iloc[1:]
    kept = [place for place, name in enumerate(names) if name or not _means_nothing(table.iloc[:, place])]
    unnamed = [place for place in kept if not names[place]]
    if unnamed:
        raise FileRejected(
            f"its column {unnamed[0] + 1} has no name in row {rows.index[0]}",
            "give every column a name, or leave it out",
        )
    table = table.iloc[:, kept].set_axis([names[place] for place in kept], axis=1)
    double = table.columns[table.columns.duplicated()]
    if len(double):
        raise FileRejected(f"two columns are named '{double[0]}'", "give every column a name of its own")
    units = _units(table)
    table = (table.iloc[1:] if units else table).rename_axis("row")
    table.attrs["units"] = units
    return table


def _means_nothing(column: pd.Series) -> bool:
    """Whether a column without a name is empty, or merely counts the rows, as pandas and R write it."""
    if not column.str.len().any():
        return True
    counted = np.arange(len(column))
    return any(column.tolist() == (counted + start).astype(str).tolist() for start in (0, 1))


def _units(table: pd.DataFrame) -> dict[str, str]:
    """Column -> unit of a first row that holds units alone, with numbers below them; empty where there is none."""
    if len(table) < 2:
        return {}
    given = {str(name): cell for name, cell in table.iloc[0].items() if cell}
    known = all(cell.lower() in _UNITS or _BRACKETED.fullmatch(cell) for cell in given.values())
    if not given or not known or not any(holds_numbers(table[name].iloc[1:]) for name in given):
        return {}
    return {name: cell.strip("[](){}<> ") for name, cell in given.items()}
