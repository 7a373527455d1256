"""A plate cut from a surface, laid on a dark table at any angle and place: the pose of parts that nobody aligns."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, gaussian_filter

SHRINK = 0.62  # the plate's surface is drawn over the whole photograph, and laid down so much smaller
SHIFT = 0.12  # largest shift from the middle, as a share of the photograph's side
TABLE = np.array([0.10, 0.11, 0.13], np.float32)  # its colour, matt
SOFT = 0.004  # blur of the outline, as a share of the side

Picture = NDArray[np.float32]


def outline(size: int) -> Picture:
    """Share of the plate (size, size) in each pixel, 0 to 1: a plate with one cut corner, a notch and two holes.

    No turn brings it onto itself, so that its angle can be told.

    Example:
        >>> plate = outline(64)
        >>> plate.shape, float(plate[32, 20]), float(plate[2, 2])
        ((64, 64), 1.0, 0.0)
    """
    down, right = np.mgrid[0:size, 0:size] / (size - 1)
    plate = (abs(down - 0.5) < 0.42) & (abs(right - 0.5) < 0.46)
    plate &= down - right < 0.62  # the cut corner, lower left
    plate &= ~((abs(right - 0.62) < 0.06) & (down < 0.2))  # the notch, above
    for hole_down, hole_right in ((0.3, 0.16), (0.72, 0.82)):
        plate &= (down - hole_down) ** 2 + (right - hole_right) ** 2 > 0.045**2
    return np.asarray(np.clip(gaussian_filter(plate.astype(np.float32), SOFT * size), 0, 1), np.float32)


@dataclass(frozen=True)
class Pose:
    """How a plate lies.

    Attributes:
        angle: in radians, turned to the left.
        down, right: shift of its middle, as shares of the photograph's side.

    Example:
        >>> Pose.draw(np.random.default_rng(0)).angle < 6.3
        True
    """

    angle: float
    down: float
    right: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> Self:
        """Any angle, any place that leaves the plate inside."""
        down, right = rng.uniform(-SHIFT, SHIFT, 2)
        return cls(float(rng.uniform(0, 2 * np.pi)), float(down), float(right))

    @classmethod
    def aligned(cls) -> Self:
        """In the middle, upright: the same plate, for comparison."""
        return cls(0.0, 0.0, 0.0)

    def laid(self, surface: Picture) -> Picture:
        """Photograph (size, size, 3) of the plate cut from a lit surface of the same size, on the table."""
        plate = outline(len(surface))
        cut = np.dstack([plate[:, :, None] * surface, plate])
        laid = np.dstack([self._moved(cut[:, :, channel]) for channel in range(4)])
        return np.asarray(laid[:, :, :3] + (1 - laid[:, :, 3:]) * TABLE, np.float32)

    def _moved(self, picture: Picture) -> Picture:
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        back = np.array([[cosine, sine], [-sine, cosine]]) / SHRINK  # from the photograph to the plate
        middle = (len(picture) - 1) / 2
        target = middle + len(picture) * np.array([self.down, self.right])
        # Blurred first by what shrinking loses, or fine texture would become another one.
        smooth = gaussian_filter(picture, 0.5 * (1 / SHRINK**2 - 1) ** 0.5)
        moved = affine_transform(smooth, back, middle - back @ target, order=1, mode="constant")
        return np.asarray(moved, np.float32)
