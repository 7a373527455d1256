"""Figures of a run as text: each may lack, be None or not be finite."""

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd


def number(values: Mapping[str, Any], key: str) -> float | None:
    """Read a figure that may lack, be None, NaN or infinite: then it is None.

    Example:
        >>> number({"auroc": float("nan")}, "auroc") is None
        True
    """
    value = values.get(key)
    return None if value is None or pd.isna(value) or not math.isfinite(value) else float(value)


def count(values: Mapping[str, Any], key: str) -> int:
    """Read a number of items; 0 where it lacks."""
    return int(number(values, key) or 0)


def percent(share: float) -> str:
    """Share in [0, 1] as a percentage, with a space that does not break.

    Example:
        >>> percent(0.05).replace("\u00a0", " ")
        '5 %'
    """
    return f"{100 * share:.1f}".removesuffix(".0") + "\u00a0%"


def plain(value: float) -> str:
    """Number with as many digits as its size deserves.

    Example:
        >>> plain(1234.5), plain(12.345), plain(0.00001)
        ('1,234', '12.35', '1e-05')
    """
    size = abs(value)
    if not math.isfinite(value) or (size != 0 and not 1e-3 <= size < 1e7):
        return f"{value:.3g}"
    return f"{value:,.{0 if size >= 1000 else 1 if size >= 100 else 2 if size >= 10 else 3}f}"


def p_value_words(value: float) -> str:
    """p-value with as many digits as it deserves; a dash where there is none.

    Example:
        >>> p_value_words(0.5), p_value_words(0.0123)
        ('0.50', '0.012')
    """
    if value is None or pd.isna(value):
        return "–"
    return f"{value:.2f}" if value >= 0.0995 else f"{value:.3f}" if value >= 0.00995 else f"{value:.2g}"
