"""When the steps of a cycle were taken: a column of numbers in any unit, of dates or of clock times, in seconds."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.errors import FileRejected
from endline.evidence.numerals import as_numbers

UNITS: Mapping[str, float] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1.0),
    **dict.fromkeys(("ms", "msec", "millisecond", "milliseconds"), 1e-3),
    **dict.fromkeys(("us", "µs", "μs", "usec", "microsecond", "microseconds"), 1e-6),
    **dict.fromkeys(("ns", "nanosecond", "nanoseconds"), 1e-9),
    **dict.fromkeys(("min", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
    **dict.fromkeys(("d", "day", "days"), 86400.0),
}  # in lower case, with their seconds
SINCE_1970 = (1e9, 4e9)  # seconds: the years 2001 to 2096
DAYS = ((2e4, 8e4), (7e5, 8e5))  # since 1900 as spreadsheets count, since the year 0: 1954 to 2119, 1916 to 2190
FASTEST = 1e-5  # seconds between two steps: no recorder that gives times so large is faster
WHOLE = 2.0  # seconds between two steps from which whole numbers are rather another unit
NAME_UNIT = "name the unit in its column ('time [s]', 'time [ms]'), or as unit in robot_cycle.preparation.formats"
DAY = 86400.0  # seconds
_SUFFIX = re.compile(r"^(?P<name>.*?)\s*(?:[\[(<]\s*(?P<inside>[^\])>]*)[\])>]|[/_ ]\s*(?P<bare>\w+))\s*$")
_DATE = re.compile(r"\d{4}-\d\d|\d{1,2}\.\d{1,2}\.\d{4}|\d{8}T")
_DATED = re.compile(r"\d[:/]\d|^\d{1,2}\.\d{1,2}\.\d")
_CLOCK = re.compile(r"(\d+ days?,? )?\d{1,2}:\d\d(:\d\d([.,]\d+)?)?")


def time_column(columns: Sequence[str], wanted: str) -> tuple[str | None, str | None]:
    """The column of the time, and the unit that its name gives: `wanted` itself, else `wanted [ms]`, `wanted_ms`.

    Example:
        >>> time_column(["force", "Time (ms)"], "time")
        ('Time (ms)', 'ms')
    """
    if wanted in columns:
        return wanted, _named_unit(wanted)[1]
    for column in columns:
        name, unit = _named_unit(column)
        if wanted.lower() in (column.lower(), name.lower()) and (unit or column.lower() == wanted.lower()):
            return column, unit
    return None, None


def in_seconds(times: pd.Series, unit: str | None, name: str) -> NDArray[np.float64]:
    """Times (steps,) of a column of numbers, of text or of dates, in seconds; of dates since the first.

    Numbers without a unit are seconds, or whatever makes them a date of this century (milliseconds since 1970). Whole
    numbers without a unit are refused: 0, 1, 2 may be steps, milliseconds or seconds.

    Args:
        times: text, numbers or dates.
        unit: one of `UNITS`, or None.
        name: of the column, for errors.

    Raises:
        FileRejected: for an unknown unit, whole numbers without one, and what is neither a number nor a date.

    Example:
        >>> in_seconds(pd.Series(["12:00:00,25", "12:00:01,00"]), None, "time").tolist()
        [0.0, 0.75]
    """
    if unit is not None and unit.lower() not in UNITS:
        raise FileRejected(f"the unit '{unit}' of its time '{name}' is unknown", f"give one of {', '.join(UNITS)}")
    if not len(times):
        return np.zeros(0)
    if pd.api.types.is_datetime64_any_dtype(times) or pd.api.types.is_timedelta64_dtype(times):
        return _since_first(times)
    whole = pd.api.types.is_integer_dtype(times)
    if not pd.api.types.is_numeric_dtype(times):
        text = times.astype(str).str.strip()
        if _DATE.match(text.iloc[0]):
            return _since_first(_dates(text, name))
        if _CLOCK.fullmatch(text.iloc[0]):
            return _past_midnight(_since_first(_read(text, name, lambda c: pd.to_timedelta(_seconds_given(c)))))
        # As integers, which keep all digits of nanoseconds since 1970.
        whole = bool(text.str.fullmatch(r"[+-]?(\d{1,18}|1\d{18})").all())
        times = text.astype(np.int64) if whole else _numbers(text, name)
    if unit is not None:
        return times.to_numpy(np.float64) * UNITS[unit.lower()]
    numbers = times.to_numpy(np.float64)
    if not np.isfinite(numbers).all():
        return numbers
    for factor in (1e-3, 1e-6, 1e-9):
        if SINCE_1970[0] <= numbers[0] * factor < SINCE_1970[1]:
            return np.asarray(times - times.iloc[0]).astype(np.float64) * factor
    steps = np.diff(numbers)
    if len(steps) and 0 < steps.mean() < FASTEST and any(low <= numbers[0] < high for low, high in DAYS):
        raise FileRejected(
            f"its time '{name}' looks like days of a spreadsheet ({numbers[0]:.9g}, {numbers[1]:.9g}, ...)",
            "name the unit in its column ('time [d]'), or export seconds",
        )
    counts = len(steps) > 0 and bool((numbers == np.round(numbers)).all()) and steps.min() > 0
    if counts and (whole or steps.mean() >= WHOLE):
        shown = ", ".join(f"{number:g}" for number in numbers[:3])
        raise FileRejected(
            f"its time '{name}' counts in whole numbers without a unit ({shown}, ...): steps, milliseconds or seconds",
            NAME_UNIT,
        )
    return numbers


def _named_unit(column: str) -> tuple[str, str | None]:
    """Name without its unit, and the unit, where it ends in one."""
    found = _SUFFIX.match(column)
    unit = found and (found["inside"] or found["bare"] or "").strip()
    return (str(found["name"]), unit) if found and unit and unit.lower() in UNITS else (column, None)


def _dates(text: pd.Series, name: str) -> pd.Series:
    if "." in text.iloc[0][:6]:  # day, month, year: with points no one writes the month first
        cells = text.str.replace(",", ".", regex=False)
        fractions = cells.str.count(r"\.").eq(3)
        fraction = ".%f" if fractions.any() else ""
        if fraction:  # a full second may be written without
            cells = cells.where(fractions, cells + ".0")
        return _read(cells, name, lambda cells: pd.to_datetime(cells, format=f"%d.%m.%Y %H:%M:%S{fraction}", utc=True))
    return _read(text.str.replace(",", "."), name, lambda cells: pd.to_datetime(cells, format="ISO8601", utc=True))


def _numbers(text: pd.Series, name: str) -> pd.Series:
    if text.str.contains(_DATED).any():  # which a decimal mark is not to blame for
        raise FileRejected(*_neither(text, name))
    return as_numbers(pd.DataFrame({name: text}), [name])[name]


def _past_midnight(seconds: NDArray[np.float64]) -> NDArray[np.float64]:
    """Seconds of a clock that begins anew at midnight, going on instead."""
    return seconds + DAY * np.cumsum(np.r_[0, np.diff(seconds) < -DAY / 2])


def _seconds_given(cells: pd.Series) -> pd.Series:
    """Clock times with seconds, as `to_timedelta` wants them."""
    cells = cells.str.replace(r"(?<=\d),(?=\d)", ".", regex=True)
    return cells.where(cells.str.count(":") == 2, cells + ":00")


def _read(text: pd.Series, name: str, parse: Callable[[pd.Series], Any]) -> pd.Series:
    try:
        return pd.Series(parse(text))
    except (ValueError, OverflowError) as error:
        raise FileRejected(*_neither(text, name)) from error


def _neither(text: pd.Series, name: str) -> tuple[str, str]:
    return (
        f"its time '{name}' is neither numbers nor dates throughout (first: '{text.iloc[0]}')",
        "export seconds, or dates as ISO 8601 (2024-05-01T12:00:00.250)",
    )


def _since_first(times: pd.Series) -> NDArray[np.float64]:
    passed: NDArray[np.float64] = (times - times.iloc[0]).dt.total_seconds().to_numpy(np.float64)
    return passed
