"""Clouds of points without rows and columns, laid on a grid that is the same for a whole set."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from endline.errors import FileRejected
from endline.evidence.scans.scan import Scan

Points = NDArray[np.float32]
LARGEST = 800  # cells of a side
STRAY = 0.25  # of the width of nearly all points of a cloud, by which a point that counts may lie beyond them
BEYOND = 0.1  # share of a cloud's points that may lie outside the field


class Field(NamedTuple):
    """The field that clouds are seen in, from the sensor along z.

    Attributes:
        left, top, right, bottom: limits of x and y, mm.
        pitch: mm of a cell.

    Example:
        >>> Field(0.0, 0.0, 10.0, 5.0, pitch=0.5).shape
        (10, 20)
    """

    left: float
    top: float
    right: float
    bottom: float
    pitch: float

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the grid."""
        return (
            max(2, int(np.ceil((self.bottom - self.top) / self.pitch))),
            max(2, int(np.ceil((self.right - self.left) / self.pitch))),
        )


def fitted_field(clouds: Sequence[tuple[Points, Points]]) -> Field:
    """The field that clouds fill together, whose cells hold about one point of each.

    A point far beyond nearly all of its cloud does not count, nor a cloud that lies farther than its width from most of
    the others: one of them would make the field so wide that the part is a few cells.

    Args:
        clouds: x and y (points,) of each, mm; finite.

    Example:
        >>> across, down = np.meshgrid(np.arange(20.0), np.arange(10.0))
        >>> fitted_field([(across.ravel().astype("f4"), down.ravel().astype("f4"))]).shape
        (10, 20)
    """
    within = [_without_strays(x, y) for x, y in clouds]
    left, right = _extent([x for x, _ in within])
    top, bottom = _extent([y for _, y in within])
    pitches = [np.sqrt(max(float(np.ptp(x)) * float(np.ptp(y)), 1e-12) / len(x)) for x, y in within]
    pitch = max(float(np.median(pitches)) * 1.05, (right - left) / LARGEST, (bottom - top) / LARGEST, 1e-9)
    return Field(left, top, right, bottom, pitch)


def gridded(x: Points, y: Points, depth: Points, field: Field) -> Scan:
    """Points (n,) as a scan: a cell has their mean, one without points is missing.

    Args:
        x: mm; not finite where a point was not measured.
        y: mm, as x.
        depth: mm, as x.
        field: of the set.

    Raises:
        FileRejected: when more than a tenth of the points lie outside the field.

    Example:
        >>> x, y = np.float32([0.2, 0.4, 1.5]), np.float32([0.5, 0.5, 0.5])
        >>> gridded(x, y, np.float32([5.0, 7.0, 9.0]), Field(0, 0, 2, 2, pitch=1.0)).depth.tolist()
        [[6.0, 9.0], [nan, nan]]
    """
    known = np.isfinite(x) & np.isfinite(y) & np.isfinite(depth)
    x, y, depth = x[known], y[known], depth[known]
    rows, columns = field.shape
    across = np.floor((x - field.left) / field.pitch)  # of a point far away more than an integer holds
    down = np.floor((y - field.top) / field.pitch)
    inside = (across >= 0) & (across <= columns) & (down >= 0) & (down <= rows)
    if len(x) and (outside := int((~inside).sum())) > BEYOND * len(x):
        raise FileRejected(
            f"{outside} of its {len(x)} points lie outside the field of the training scans, "
            f"x {field.left:.4g} to {field.right:.4g} mm and y {field.top:.4g} to {field.bottom:.4g} mm",
            "place the part as they were placed, and export the cloud in the sensor's coordinates and their unit",
        )
    down, across = down[inside].astype(np.int64), across[inside].astype(np.int64)
    cell = np.minimum(down, rows - 1) * columns + np.minimum(across, columns - 1)
    count = np.bincount(cell, minlength=rows * columns)

    def means(values: Points) -> Points:
        total = np.bincount(cell, values[inside].astype(np.float64), minlength=rows * columns)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return mean.reshape(rows, columns).astype(np.float32)

    return Scan(means(depth), means(x), means(y), field.pitch)


def _without_strays(x: Points, y: Points) -> tuple[Points, Points]:
    """X and y of the points that do not lie far beyond nearly all of their cloud."""
    kept = np.ones(len(x), np.bool_)
    for values in (x, y):
        low, high = np.percentile(values, [1, 99])
        kept &= (values >= low - STRAY * (high - low)) & (values <= high + STRAY * (high - low))
    return x[kept], y[kept]


def _extent(clouds: Sequence[Points]) -> tuple[float, float]:
    """Limits along an axis of all clouds but those that lie farther than a cloud's width from most others."""
    limits = np.array([(each.min(), each.max()) for each in clouds], np.float64)
    usual = np.median(limits, 0)
    near = (np.abs(limits - usual) <= usual[1] - usual[0]).all(1)
    low, high = limits[near if near.any() else slice(None)].T
    return float(low.min()), float(high.max())
