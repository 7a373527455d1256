"""Shaded relief of a depth map, as a picture: a lamp from the side shows what grey values of depth hide."""

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import distance_transform_edt, gaussian_filter

from endline.errors import EndlineError

MISSING = (58, 74, 94)  # slate: no shade of grey is mistaken for it
AMBIENT = 0.28  # share of the light that comes from everywhere
RAKING = 22.0  # degrees above the surface: a low lamp shows dents of tenths of a millimetre
SIDES = (0.0, 90.0, 180.0, 270.0)  # above, right, below, left

Picture = NDArray[np.uint8]


def relief(
    depth: ArrayLike, pitch: float | None = None, *, azimuth: float = 315.0, elevation: float = 45.0, gain: float = 1.0
) -> Picture:
    """Shaded relief (height, width, 3), uint8, of a depth map under one lamp (hillshade).

    Lambert's law on the normals of the surface (Horn 1981, Hill shading and the reflectance map, section II); what
    lies nearer to the sensor is a little brighter. Pixels that were not measured are slate.

    Args:
        depth: (height, width) in mm, larger = farther away; NaN or infinite where nothing was measured.
        pitch: mm from one pixel to the next; None: one that gives the relief a usual contrast.
        azimuth: where the lamp stands, degrees clockwise from above the picture; 315 is the upper left.
        elevation: degrees of the lamp above the surface, above 0 up to 90.
        gain: factor on all heights.

    Raises:
        EndlineError: for an array of another shape, or a lamp that does not stand above the surface.

    Example:
        >>> slope = np.tile(np.arange(8.0), (8, 1))  # falls away to the right, so that it faces the right
        >>> left, right = (relief(slope, 1.0, azimuth=side)[4, 4, 0] for side in (270, 90))
        >>> bool(right > left)
        True
    """
    measured = np.asarray(depth, np.float64)
    if measured.ndim != 2 or 0 in measured.shape:
        raise EndlineError(f"The depth map has shape {measured.shape}, not (height, width): give one scan at a time.")
    if not 0 < elevation <= 90:
        raise EndlineError(f"The lamp's elevation is {elevation} degrees: give one above 0 and up to 90.")
    valid = np.isfinite(measured)
    if not valid.any():
        return np.full((*measured.shape, 3), MISSING, np.uint8)
    height = gaussian_filter(-nearest_filled(measured), 1.0)
    down, right = (_gradient(height, axis) for axis in (0, 1))
    scale = gain / (pitch or _usual_slope(down, right, valid))
    shade = _lambert(down * scale, right * scale, azimuth, elevation)
    low, high = np.quantile(height[valid], [0.02, 0.98])
    near = np.clip((height - low) / max(high - low, 1e-9), 0, 1)
    grey = np.clip(shade * (0.86 + 0.14 * near), 0, 1)
    picture = np.round(255 * grey[:, :, None] * np.array([1.0, 0.985, 0.96])).astype(np.uint8)  # a warm lamp
    picture[~valid] = MISSING
    return np.asarray(picture)


def raking_light(depth: ArrayLike, pitch: float | None = None, *, gain: float = 1.0) -> Picture:
    """Four reliefs in one picture (2 height + gap, 2 width + gap, 3): a low lamp from above, right, below and left.

    A dent that one lamp hides, since it runs along its rays, another shows.

    Args:
        depth: as `relief` takes it.
        pitch: as `relief` takes it.
        gain: as `relief` takes it.

    Example:
        >>> raking_light(np.zeros((30, 40))).shape
        (62, 82, 3)
    """
    views = [relief(depth, pitch, azimuth=side, elevation=RAKING, gain=gain) for side in SIDES]
    height, width, _ = views[0].shape
    gap = max(2, height // 60)
    sheet = np.full((2 * height + gap, 2 * width + gap, 3), 255, np.uint8)
    for number, view in enumerate(views):
        top, left = (number // 2) * (height + gap), (number % 2) * (width + gap)
        sheet[top : top + height, left : left + width] = view
    return sheet


def nearest_filled(depth: NDArray[np.float64]) -> NDArray[np.float64]:
    """The map with the nearest measured value wherever nothing was measured.

    Example:
        >>> nearest_filled(np.array([[1.0, np.nan, np.nan, 4.0]])).tolist()
        [[1.0, 1.0, 4.0, 4.0]]
    """
    where = distance_transform_edt(~np.isfinite(depth), return_distances=False, return_indices=True)
    return np.asarray(depth[tuple(where)])


def _gradient(height: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Change from one pixel to the next; 0 along an axis of one pixel."""
    return np.gradient(height, axis=axis) if height.shape[axis] > 1 else np.zeros_like(height)


def _usual_slope(down: NDArray[np.float64], right: NDArray[np.float64], valid: NDArray[np.bool_]) -> float:
    """Pitch at which nine tenths of the surface are less steep than 60 degrees."""
    steep = float(np.quantile(np.hypot(down, right)[valid], 0.9))
    return max(steep / math.sqrt(3), 1e-9)


def _lambert(
    down: NDArray[np.float64], right: NDArray[np.float64], azimuth: float, elevation: float
) -> NDArray[np.float64]:
    """Light that a surface of these slopes scatters; 0.72 on level ground, whatever the lamp's elevation."""
    turned, high = np.deg2rad(azimuth), np.deg2rad(elevation)
    to_right, to_down, to_up = np.cos(high) * np.sin(turned), -np.cos(high) * np.cos(turned), np.sin(high)
    facing = (to_up - right * to_right - down * to_down) / np.sqrt(1 + right**2 + down**2)
    lamp = np.clip(facing, 0, None) / to_up * (0.72 - AMBIENT)
    return np.asarray(AMBIENT / np.sqrt(1 + 0.15 * (right**2 + down**2)) + np.minimum(lamp, 0.72))
