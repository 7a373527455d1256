"""Values that stand for "not measured" where a scanner writes no NaN: -9999, the largest of 16 bits, 1e5 mm."""

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

FEWEST = 4  # pixels that share it: fewer may be flying ones
USED = frozenset({-9999, 9999, -99999, 99999, -32768, -32767, 32767, 65535, -(2**31), 2**31 - 1, 2**32 - 1})
SPREADS = 0.1  # of the spread of most depths, by which one that scanners use lies beyond them
LARGE, REACHES = 1000.0, 5.0  # of another value, and by so many times what most depths reach it lies beyond them
MOST = 20_000  # pixels by which the others are judged
log = logging.getLogger(__name__)


def placeholders(values: NDArray[Any]) -> tuple[float, ...]:
    """Values that stand for "not measured": the smallest, the largest, or both, shared exactly and far from the rest.

    One that scanners use for it must lie beyond the others by a tenth of their spread; another must be large, and lie
    beyond by five times what they reach: a flat support without noise has one value too, and that lies near its part.

    Args:
        values: depths (n,), finite, in any unit; 0 stands for "not measured" anyway.

    Example:
        >>> placeholders(np.array([500.0, 501.5, 498.0, 480.0, *[-9999.0] * 4]))
        (-9999.0,)
        >>> placeholders(np.array([570, 571, 572, 600, 600, 600, 600]))
        ()
    """
    if values.size <= FEWEST:
        return ()
    ends = [end for end in dict.fromkeys((values.min(), values.max())) if np.count_nonzero(values == end) >= FEWEST]
    return tuple(float(end) for end in ends if _is_far(float(end), _others(values, end, ends)))


def warn_of_placeholders(samples: pd.DataFrame) -> None:
    """Say which values of scans count as not measured.

    Args:
        samples: the sample table, with `depth_path` and `unmeasured`, the values as text, empty where there are none.
    """
    for values, rows in samples.groupby("unmeasured"):
        if values:
            more = f" and {len(rows) - 1} more scans" if len(rows) > 1 else ""
            log.warning(
                "In %s%s the value %s, which many pixels share far from all the rest, counts as not measured.",
                rows["depth_path"].iloc[0],
                more,
                values,
            )


def _others(values: NDArray[Any], end: object, ends: Iterable[object]) -> NDArray[np.float64]:
    """What is neither one end nor, where something else is left, the other."""
    rest = values[values != end]
    for other in ends:
        inside = rest[rest != other]
        rest = inside if inside.size else rest
    return np.asarray(rest[:: max(1, rest.size // MOST)], np.float64)


def _is_far(end: float, others: NDArray[np.float64]) -> bool:
    if not others.size:
        return False
    low, high = (float(each) for each in np.percentile(others, [1, 99]))
    beyond = max(low - end, end - high)
    if end in USED:
        return beyond > SPREADS * (high - low)
    return abs(end) >= LARGE and beyond > REACHES * max(abs(low), abs(high))
