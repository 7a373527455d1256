"""How far a scan deviates from the nearest normal one, in mm.

Parts never lie twice in the same place, and beside a flank a shift of a pixel is millimetres of depth. So a normal scan
is a band at every pixel: the least and the greatest depth that it has within `REACH` pixels. What lies in the band does
not deviate, and a deviation is counted from its rim: on slopes it is rather too small.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, median_filter, minimum_filter

from endline.feature_set import FeatureSet

REACH = 4  # pixels of 192
COARSE = 2  # every second pixel is enough to find the nearest scan by
CAP = 3.0  # mm: a greater deviation, and a part where the other has none, count as much
BATCH = 16

Depth = NDArray[np.float32]


class Deviation(NamedTuple):
    """How a scan deviates from a normal one.

    Attributes:
        towards: (height, width), mm towards the sensor (below 0: away from it), NaN outside of either part.

    Example:
        >>> part = np.ones((9, 9), bool)
        >>> dented = np.zeros((9, 9), np.float32)
        >>> dented[3:6, 3:6] = 0.75
        >>> found = deviation(dented, part, np.zeros((9, 9), np.float32), part)
        >>> found.farthest, found.nearest, round(found.share(0.5), 2)
        (-0.75, 0.0, 0.06)
    """

    towards: Depth

    @property
    def compared(self) -> bool:
        """Whether any pixel lies in both parts."""
        return bool(np.isfinite(self.towards).any())

    @property
    def nearest(self) -> float:
        """Greatest deviation towards the sensor in mm, at least 0."""
        return max(0.0, float(np.nanmax(self.towards)))

    @property
    def farthest(self) -> float:
        """Greatest deviation away from the sensor in mm, at most 0."""
        return min(0.0, float(np.nanmin(self.towards)))

    @property
    def mean(self) -> float:
        """Mean size of the deviation over the part in mm."""
        return float(np.nanmean(np.abs(self.towards)))

    def share(self, beyond: float) -> float:
        """Share of the part that deviates by more than so many mm."""
        sizes = np.abs(self.towards[np.isfinite(self.towards)])
        return float(np.mean(sizes > beyond))

    def at(self, row: float, column: float) -> float:
        """The largest deviation within `REACH` pixels of a position (shares of height and width); NaN if none."""
        height, width = self.towards.shape
        down, right = min(int(row * height), height - 1), min(int(column * width), width - 1)
        around = self.towards[max(down - REACH, 0) : down + REACH + 1, max(right - REACH, 0) : right + REACH + 1]
        values = around[np.isfinite(around)]
        return float(values[np.abs(values).argmax()]) if values.size else float("nan")


def deviation(depth: Depth, mask: NDArray[np.bool_], normal: Depth, normal_mask: NDArray[np.bool_]) -> Deviation:
    """Deviation of a relative depth map (height, width) in mm from a normal one, where both have the part.

    Args:
        depth: mm, larger = farther away.
        mask: where the part is.
        normal: the same of the normal scan.
        normal_mask: the same of the normal scan.
    """
    low, high = _band(normal, normal_mask, REACH)
    away = np.where(depth > high, depth - high, np.where(depth < low, depth - low, 0))
    towards = median_filter(-away, 3)  # single pixels are the scanner's
    return Deviation(np.where(mask & normal_mask, towards, np.nan).astype(np.float32))


def nearest_normal_rows(rows: Sequence[int], training: Sequence[int], features: FeatureSet) -> list[int]:
    """Row of the training scan that each of some scans deviates least from, itself left out.

    Args:
        rows: of the scans, in `features`.
        training: rows of the normal ones.
        features: arrays `depth` and `depth_mask` (1, height, width).

    Returns:
        A row for each; -1 where there is no other.

    Example:
        >>> depth = np.stack([np.full((1, 8, 8), value, "f4") for value in (0.0, 4.0, 3.0)])
        >>> scans = FeatureSet({"depth": depth, "depth_mask": np.ones((3, 1, 8, 8), "f4")})
        >>> nearest_normal_rows([2], [0, 1], scans)
        [1]
    """
    own = [_coarse(features, [row])[0] for row in rows]
    best = [(np.inf, -1)] * len(rows)
    for start in range(0, len(training), BATCH):
        chosen = list(training[start : start + BATCH])
        for number, (depth, mask) in zip(chosen, _coarse(features, chosen), strict=True):
            low, high = _band(depth, mask, REACH // COARSE)
            for item, (own_depth, own_mask) in enumerate(own):
                away = np.maximum(np.maximum(own_depth - high, low - own_depth), 0)
                cost = float(np.where(own_mask, np.minimum(np.where(mask, away, CAP), CAP), 0).sum())
                if number != rows[item] and cost < best[item][0]:
                    best[item] = (cost, int(number))
    return [row for _, row in best]


def _coarse(features: FeatureSet, rows: list[int]) -> list[tuple[Depth, NDArray[np.bool_]]]:
    arrays = features.only(("depth", "depth_mask")).read(rows)
    depths, masks = (arrays[name].numpy()[:, 0, ::COARSE, ::COARSE] for name in ("depth", "depth_mask"))
    return [(depth, mask > 0) for depth, mask in zip(depths, masks, strict=True)]


def _band(depth: Depth, mask: NDArray[np.bool_], reach: int) -> tuple[Depth, Depth]:
    """Least and greatest depth of the part within `reach` pixels."""
    low = minimum_filter(np.where(mask, depth, np.float32(np.inf)), 2 * reach + 1)
    high = maximum_filter(np.where(mask, depth, np.float32(-np.inf)), 2 * reach + 1)
    return low, high
