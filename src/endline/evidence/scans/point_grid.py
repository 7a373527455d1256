"""Clouds of points without rows and columns, laid on a grid that is the same for a whole set."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from endline.errors import FileRejected
from endline.evidence.scans.scan import Scan

Points = NDArray[np.float32]
LARGEST = 800  # cells of a side
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

    Args:
        clouds: x and y (points,) of each, mm; finite.

    Example:
        >>> across, down = np.meshgrid(np.arange(20.0), np.arange(10.0))
        >>> fitted_field([(across.ravel().astype("f4"), down.ravel().astype("f4"))]).shape
        (10, 20)
    """
    left, right = min(float(x.min()) for x, _ in clouds), max(float(x.max()) for x, _ in clouds)
    top, bottom = min(float(y.min()) for _, y in clouds), max(float(y.max()) for _, y in clouds)
    pitches = [np.sqrt(max(float(np.ptp(x)) * float(np.ptp(y)), 1e-12) / len(x)) for x, y in clouds]
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
    across = np.floor((x - field.left) / field.pitch).astype(np.int64)
    down = np.floor((y - field.top) / field.pitch).astype(np.int64)
    inside = (across >= 0) & (across <= columns) & (down >= 0) & (down <= rows)
    if len(x) and (outside := int((~inside).sum())) > BEYOND * len(x):
        raise FileRejected(
            f"{outside} of its {len(x)} points lie outside the field of the training scans, "
            f"x {field.left:.4g} to {field.right:.4g} mm and y {field.top:.4g} to {field.bottom:.4g} mm",
            "place the part as they were placed, and export the cloud in the sensor's coordinates and their unit",
        )
    cell = np.minimum(down[inside], rows - 1) * columns + np.minimum(across[inside], columns - 1)
    count = np.bincount(cell, minlength=rows * columns)

    def means(values: Points) -> Points:
        total = np.bincount(cell, values[inside].astype(np.float64), minlength=rows * columns)
        mean = np.where(count > 0, total / np.maximum(count, 1), np.nan)
        return mean.reshape(rows, columns).astype(np.float32)

    return Scan(means(depth), means(x), means(y), field.pitch)
