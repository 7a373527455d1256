"""Values of anomaly maps, read in batches: a share of them for quantiles, and the range of a colour scale."""

import math

import numpy as np
from numpy.typing import NDArray

from endline.feature_set import FeatureSet

BATCH = 16
MOST_VALUES = 2_000_000


def has_maps(maps: FeatureSet) -> bool:
    """Whether there is anything to see: array `map` (rows, h, w) is (rows, 0, 0) where the method has no maps.

    Example:
        >>> has_maps(FeatureSet({"map": np.zeros((3, 0, 0), "f4")}))
        False
    """
    return 0 not in maps.shapes["map"]


def regular_share(maps: FeatureSet, rows: NDArray[np.int64] | None = None) -> NDArray[np.float32]:
    """About `MOST_VALUES` values at most of the array `map`, taken at a regular distance from each other, (values,).

    Args:
        maps: array `map` (rows, h, w).
        rows: those that are looked at; all by default.

    Example:
        >>> regular_share(FeatureSet({"map": np.arange(8, dtype="f4").reshape(2, 2, 2)})).tolist()
        [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]
    """
    rows = np.arange(len(maps)) if rows is None else rows
    height, width = maps.shapes["map"]
    step = max(1, len(rows) * height * width // MOST_VALUES)
    while math.gcd(step, width) > 1:  # otherwise some columns of the maps would never be looked at
        step += 1
    values = [batch["map"].numpy().ravel()[::step] for batch in maps.only(("map",)).batches(BATCH, rows)]
    return np.concatenate(values) if values else np.zeros(0, np.float32)


def shared_limits(maps: FeatureSet) -> tuple[float, float] | None:
    """One colour scale (low, high) for all maps of a report; None where there is nothing to distinguish.

    Low is the median. High leaves out the largest thousandth: the brightest spot of the most anomalous sample alone
    would pale all others.

    Args:
        maps: array `map` (rows, h, w).

    Example:
        >>> shared_limits(FeatureSet({"map": np.ones((2, 3, 3), "f4")})) is None
        True
    """
    values = regular_share(maps) if has_maps(maps) else np.zeros(0, np.float32)
    low, high = np.quantile(values, [0.5, 0.999]).tolist() if values.size else (0.0, 0.0)
    return (low, high) if high > low else None
