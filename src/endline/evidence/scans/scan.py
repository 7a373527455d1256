"""A scan inside the program, whatever file it came from: depth in mm on a grid, NaN where none was measured."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scan:
    """An organised scan: depth in mm on a grid, NaN where nothing was measured.

    Attributes:
        depth: (height, width) float32, mm, distance from the sensor (larger = farther away); NaN where missing.
        x, y: (height, width) float32, mm, or None where the scan has no lateral positions (then one pixel is `pitch`
            mm).
        pitch: mm from one pixel to the next, None where it is unknown.
        placeholders: values of its file, in the file's unit, that stand for "not measured", beside 0.
        pages: of its file, of which this is the first.

    Example:
        >>> Scan(np.full((4, 6), 500.0, np.float32), pitch=0.5).depth.shape
        (4, 6)
    """

    depth: NDArray[np.float32]
    x: NDArray[np.float32] | None = None
    y: NDArray[np.float32] | None = None
    pitch: float | None = None
    placeholders: tuple[float, ...] = ()
    pages: int = 1
