"""The two sensors over the support: a camera under a lamp, and a scanner that measures depth by a projected line.

The scanner looks straight down from `DISTANCE` and projects from the left: what lies in the projector's shadow is not
measured, nor what is too steep. Depth is the distance along the axis of view, as organised scans have it.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from endline.simulation.images.surface_texture import REFERENCE, Map, Shot, Surface, cloud, grid
from endline.simulation.scans.parts import FIELD, Part

DISTANCE = 400.0  # mm from the sensor to the support
PROJECTOR = 3.3  # slope of the projector's rays: tan of 73 degrees
STEEP = 3.2  # slope of the surface from which on little light comes back
NOISE = 0.06  # mm, standard deviation on level ground
STEP = 1 / 128  # mm, the scanner's resolution
SPECKS = 0.0008  # share of the pixels that are lost anywhere


@dataclass(frozen=True)
class Scanner:
    """One scan: how the support lies below the scanner, and the scanner's noise, which know nothing of the part.

    Attributes:
        tilt: slope of the support to the right and downwards.
        distance: mm from the sensor to the middle of the support.
        noise: (size, size), mm on level ground.
        lost: (size, size), standard normal: where it is low, light is lost on steep ground first.
        specks: bool (size, size), pixels lost anywhere.

    Example:
        >>> scanner = Scanner.draw(np.random.default_rng(0), 64, noise=1.0)
        >>> depth = scanner.measure(np.zeros((64, 64), np.float32))
        >>> 390 < float(np.nanmedian(depth)) < 410
        True
    """

    tilt: tuple[float, float]
    distance: float
    noise: Map
    lost: Map
    specks: NDArray[np.bool_]

    @classmethod
    def draw(cls, rng: np.random.Generator, size: int, noise: float) -> Self:
        """Draw the state of one scan; `noise` is a factor on the scanner's."""
        right, down = rng.normal(0.0, 0.012, 2)  # about 0.7 degrees
        white = rng.standard_normal((size, size), dtype=np.float32)
        patches = cloud(size, 3.0, rng)
        return cls(
            tilt=(float(right), float(down)),
            distance=float(rng.normal(DISTANCE, 0.5)),
            noise=np.float32(noise * NOISE) * (np.float32(0.85) * white + np.float32(0.5) * patches),
            lost=(np.float32(0.7) * patches + np.float32(0.7) * rng.standard_normal((size, size), dtype=np.float32)),
            specks=rng.random((size, size), dtype=np.float32) < SPECKS,
        )

    def measure(self, height: Map) -> Map:
        """Depth (size, size) in mm of a height above the support, NaN where nothing is measured."""
        y, x = ((axis - REFERENCE / 2) * np.float32(FIELD / REFERENCE) for axis in grid(len(height)))
        surface = height + np.float32(self.tilt[0]) * x + np.float32(self.tilt[1]) * y
        slope = np.hypot(*np.gradient(surface, np.float32(FIELD / len(height))))
        depth = np.float32(self.distance) - surface + self.noise * (1 + np.minimum(slope, 3))
        # A ray from the left passes a point if nothing before it reaches higher, seen along the rays.
        along_rays = surface + np.float32(PROJECTOR) * x
        shadow = np.maximum.accumulate(along_rays, axis=1) > along_rays + np.float32(0.3)
        steep = slope > np.float32(STEEP) * (1 + np.float32(0.3) * self.lost)
        return np.where(shadow | steep | self.specks, np.float32(np.nan), _rounded(depth))


def positions(depth: Map) -> Map:
    """Point (x, y, z) in mm of every pixel (size, size, 3) of a depth map, by a pinhole camera; NaN where it is.

    Rounded to the scanner's resolution, as its own files would be.
    """
    y, x = ((axis - REFERENCE / 2) * np.float32(FIELD / REFERENCE / DISTANCE) for axis in grid(len(depth)))
    return _rounded(np.stack([x * depth, y * depth, depth], axis=-1))


def photograph(part: Part, shot: Shot) -> Map:
    """The photograph (size, size, 3) without the sensor's noise, 1 = full scale.

    A diffuse sky lights hollows less than what stands out; the lamp of `shot` does the rest.
    """
    pixel = FIELD / len(part.height)  # mm
    form = part.height * np.float32(REFERENCE / FIELD)
    lamp = shot.take(Surface(np.zeros_like(form), gaussian_filter(form, 0.5), np.ones_like(form), part.gloss))
    around = [gaussian_filter(part.height, radius / pixel, truncate=2.5) - part.height for radius in (2.0, 7.0)]
    sky = np.clip(1 - (around[0] / 6 + around[1] / 22), 0.25, 1.1)
    lit = part.colour * (np.float32(0.42) * sky[:, :, None] + np.float32(0.78) * lamp)
    sharp = gaussian_filter(lit, (0.6 * len(lit) / REFERENCE, 0.6 * len(lit) / REFERENCE, 0))
    return np.asarray(np.clip(sharp, 0, None) ** np.float32(0.6), np.float32)  # the camera's gamma


def digitised(picture: Map, noise: Map) -> NDArray[np.uint8]:
    """The photograph with the noise of its sensor as 8 bits."""
    return np.asarray(np.round(255 * np.clip(picture + noise, 0, 1)), np.uint8)


def _rounded(lengths: Map) -> Map:
    return np.asarray(np.round(lengths / np.float32(STEP)) * np.float32(STEP), np.float32)
