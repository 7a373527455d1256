"""Where a part lies in a photograph, what is shown of it, and the last fractions of a pixel and degree of its pose."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

SOFT = 1.5  # deviation in pixels of the blur of looks, whose fine texture says nothing of the pose
STEPS = 12  # of the search, at most
STILL = 0.01  # pixels by which the last step moves a look
FARTHEST = 0.25  # of the radius, and radians: what is farther from the first pose is another place
ROUND = 0.05  # of the change that a move makes; a part whose turn changes less looks the same at any angle
Reach = tuple[float, float, float, float]
Grey = NDArray[np.float64]


class Pose(NamedTuple):
    """A part's middle, in units of the photograph's longer side, and the radians that what is shown is turned by.

    Example:
        >>> Pose(0.5, 0.5, 0.0).angle
        0.0
    """

    down: float
    right: float
    angle: float


def taken(
    pixels: NDArray[Any], pose: Pose, reach: Reach, size: tuple[int, int], background: NDArray[Any], radius: float
) -> Tensor:
    """The rectangle around a part, upright and resized to `size`: (channels, *size), in the pixels' own scale.

    Args:
        pixels: (H, W, channels).
        pose: of the part.
        reach: how far up, down, left and right of its middle is shown, in units of the photograph's longer side.
        size: (height, width).
        background: (channels,) what lies outside of the circle or of the photograph.
        radius: of that circle around the middle, in the same unit.

    Example:
        >>> pixels = np.arange(64.0).reshape(8, 8, 1)
        >>> taken(pixels, Pose(0.5, 0.5, 0.0), (0.5, 0.5, 0.5, 0.5), (8, 8), np.zeros(1), 1.0)[0, 1].int().tolist()
        [8, 9, 10, 11, 12, 13, 14, 15]
    """
    height, width = pixels.shape[:2]
    unit = max(height, width)
    up, below, left, beside = (side * unit for side in reach)
    behind = torch.tensor(np.asarray(background, np.float32))
    factor = min(1.0, max(size[0] / (up + below), size[1] / (left + beside)))  # antialiased: fine texture as its mean
    stored = torch.tensor(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() - behind[:, None, None]
    shrunk = [max(2, round(side * factor)) for side in (height, width)]
    stored = interpolate(stored, size=shrunk, mode="bilinear", align_corners=False, antialias=True)
    down, right = _places(size, (up, below, left, beside))
    angle = torch.tensor(pose.angle)
    x = 2 * pose.right * unit / width - 1 + 2 * (angle.cos() * right - angle.sin() * down) / width
    y = 2 * pose.down * unit / height - 1 + 2 * (angle.sin() * right + angle.cos() * down) / height
    grid = torch.stack([x, y], 2)[None].float()
    inside = down.square() + right.square() <= (radius * unit) ** 2
    shown: Tensor = grid_sample(stored, grid, mode="bicubic", padding_mode="zeros", align_corners=False)[0] * inside
    shown += behind[:, None, None]
    return shown


def soft(shown: Tensor) -> Grey:
    """A look as it is shown, (1, H, W), blurred: (H, W)."""
    from scipy.ndimage import gaussian_filter  # where nothing is aligned, not needed

    return np.asarray(gaussian_filter(shown[0].numpy().astype(np.float64), SOFT), np.float64)


def refined(looks: NDArray[np.float32], pose: Pose, reach: Reach, template: Grey, radius: float) -> Pose:
    """A pose moved and turned until the look shown by it is most like a template but for a factor and an offset.

    Gauss-Newton with the template's slopes (Baker and Matthews, "Lucas-Kanade 20 years on", IJCV 2004, section 3.2).
    Where that leads far away or makes the look no more like the template, the pose stays as it was.

    Args:
        looks: (H, W, 1) of the photograph, how far each pixel is from the background's colour.
        pose: the first one.
        reach: of what is shown, see `taken`.
        template: (h, w) the mean look.
        radius: of the circle that is shown.

    Example:
        >>> down, right = np.mgrid[:64, :64].astype(np.float32)
        >>> blob = np.exp(-((down - 30) / 9) ** 2 - ((right - 34) / 5) ** 2)[..., None]
        >>> reach, true = (0.4, 0.4, 0.4, 0.4), Pose(30.5 / 64, 34.5 / 64, 0.0)
        >>> template = soft(taken(blob, true, reach, (48, 48), np.zeros(1), 0.6))
        >>> found = refined(blob, Pose(0.5, 0.52, 0.1), reach, template, 0.6)
        >>> bool(np.allclose(found, true, atol=1e-3))
        True
    """
    size = (template.shape[0], template.shape[1])
    down, right = (side.numpy().astype(np.float64) for side in _places(size, reach))
    pixel = (reach[0] + reach[1]) / size[0], (reach[2] + reach[3]) / size[1]
    by_down, by_right = (slope / step for slope, step in zip(np.gradient(template), pixel, strict=True))
    turned = by_down * right - by_right * down
    if np.linalg.norm(turned) < ROUND * radius * np.linalg.norm([by_down, by_right]):
        turned = np.zeros_like(turned)  # which the least squares leave at 0
    columns = [by_down, by_right, turned, template, np.ones_like(template)]
    design = np.stack([column.ravel() for column in columns], 1)
    solve = np.linalg.pinv(design)
    best, likest, now = pose, -np.inf, pose
    for _ in range(STEPS):
        shown = soft(taken(looks, now, reach, size, np.zeros(1), radius))
        likeness = float(np.corrcoef(shown.ravel(), template.ravel())[0, 1]) if shown.std() > 0 else -np.inf
        if likeness > likest:
            best, likest = now, likeness
        moved_down, moved_right, angle, factor, _ = (float(value) for value in solve @ shown.ravel())
        if factor <= 0:
            break
        now = _moved(now, moved_down / factor, moved_right / factor, angle / factor)
        far = np.hypot(now.down - pose.down, now.right - pose.right) > FARTHEST * radius
        if far or abs(now.angle - pose.angle) > FARTHEST:
            return pose
        if max(abs(moved_down), abs(moved_right), abs(angle) * radius) / factor < STILL * min(pixel):
            break
    return best


def _moved(pose: Pose, down: float, right: float, angle: float) -> Pose:
    """The pose by which a template lies in the middle that is seen moved and turned by so much."""
    turned = pose.angle - angle
    return Pose(
        pose.down - math.sin(turned) * right - math.cos(turned) * down,
        pose.right - math.cos(turned) * right + math.sin(turned) * down,
        turned,
    )


def _places(size: tuple[int, int], reach: Sequence[float]) -> tuple[Tensor, Tensor]:
    """How far down and right of the middle each shown pixel lies, each (*size)."""
    up, below, left, beside = reach
    ends = ((up, below), (left, beside))
    rows, columns = (
        (torch.arange(side, dtype=torch.float64) + 0.5) / side * (start + end) - start
        for side, (start, end) in zip(size, ends, strict=True)
    )
    down, right = torch.meshgrid(rows, columns, indexing="ij")
    return down, right
