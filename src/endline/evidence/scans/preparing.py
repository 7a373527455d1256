"""From a scan to the relief of its part: filled, set off from its support, and relative to its own mean depth."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, interpolate, max_pool2d, pixel_unshuffle

from endline.errors import EndlineError, FileRejected
from endline.evidence.scans.scan import Scan
from endline.evidence.scans.support import WAYS, find_support

SIZE = 192  # pixels of a side of what detectors read
FACTOR = 8  # pixels of a side that one position of a map holds
CELLS = 48  # rows and columns of gaps and outlines
LEAST_MEASURED, LEAST_PART = 0.01, 0.001  # share of the pixels
FLYING = 1.0  # percent of a part's pixels at either end whose own depths may be wrong


@dataclass(frozen=True)
class PartSettings:
    """How a part is set off from what it lies on (Rudolph 2024, section 6.1.3).

    Attributes:
        support: how the support is found, one of `support.WAYS`.
        distance: mm from the support at which the part begins.
        rounds: how often pixels without depth take the mean of their measured neighbours.
        level: whether a tilt of the support is taken off the part's depth too; published is not.

    Raises:
        EndlineError: for an unknown support, or a distance or number of rounds below 0.

    Example:
        >>> PartSettings(distance=2.0).support
        'auto'
    """

    support: str = "auto"
    distance: float = 7.0
    rounds: int = 3
    level: bool = True

    def __post_init__(self) -> None:
        if self.support not in WAYS:
            raise EndlineError(f"There is no support '{self.support}': choose one of {', '.join(WAYS)}.")
        if self.distance < 0 or self.rounds < 0:
            raise EndlineError(f"distance={self.distance} and rounds={self.rounds} must be 0 or more.")


class Relief(NamedTuple):
    """The part of a scan, at the scan's own size.

    Attributes:
        depth: (height, width) float32, mm, relative to the part's mean; 0 outside.
        mask: (height, width), where the part is.
        way: how the support was found, `none` where there is none.
        moved: corners of the support that had no measured pixel.
        before: mm by which the part lies before its support, see `usual_mean`; negative: behind, 0 without support.

    Example:
        >>> Relief(np.zeros((4, 4), "f4"), np.ones((4, 4), bool), "none", (), 0.0).way
        'none'
    """

    depth: NDArray[np.float32]
    mask: NDArray[np.bool_]
    way: str
    moved: tuple[str, ...]
    before: float


def filled(depth: NDArray[np.float32], rounds: int = 3) -> NDArray[np.float32]:
    """Depth (height, width) whose missing pixels (NaN) took the mean of their measured neighbours of eight, in rounds.

    Example:
        >>> filled(np.array([[1.0, np.nan, np.nan], [1.0, 3.0, np.nan]], "f4"), rounds=1).round(2).tolist()
        [[1.0, 1.6699999570846558, 3.0], [1.0, 3.0, 3.0]]
    """
    width = depth.shape[1] + 2
    values = np.pad(np.where(np.isfinite(depth), depth, np.nan).astype(np.float64), 1, constant_values=np.nan).ravel()
    around = np.array([-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1])
    missing = np.flatnonzero(np.pad(~np.isfinite(depth), 1).ravel())
    for _ in range(rounds):
        near = values[missing[:, None] + around]
        known = np.isfinite(near)
        count = known.sum(1)
        mean = np.where(known, near, 0).sum(1) / np.maximum(count, 1)
        reached = count > 0
        values[missing[reached]] = mean[reached]
        missing = missing[~reached]
    return values.reshape(-1, width)[1:-1, 1:-1].astype(np.float32)


def foreground(scan: Scan, plane: NDArray[np.float32] | None, distance: float = 7.0) -> NDArray[np.bool_]:
    """Where a scan has a depth, farther than `distance` mm from its support; everywhere it has one without support.

    Example:
        >>> foreground(Scan(np.array([[500.0, 480.0, np.nan]], "f4")), np.full((1, 3), 500, "f4")).tolist()
        [[False, True, False]]
    """
    known: NDArray[np.bool_] = np.isfinite(scan.depth)
    if plane is not None:
        with np.errstate(invalid="ignore"):
            known &= np.abs(scan.depth - plane) > distance
    return known


def relief_of(scan: Scan, settings: PartSettings) -> Relief:
    """The part of a scan, relative to its own mean depth.

    Raises:
        FileRejected: when next to nothing was measured, all depths are equal, or no part stands out of the support.
    """
    known = np.isfinite(scan.depth)
    check_measured(known, scan.depth)
    depth = filled(scan.depth, settings.rounds)
    support = find_support(depth, settings.support, settings.distance)
    mask = foreground(Scan(depth), None if support is None else support.depth, settings.distance)
    if mask.sum() < LEAST_PART * mask.size:
        raise FileRejected(
            f"no part stands out: next to no pixel is farther than {settings.distance:g} mm from the support",
            "check that the part is there; for flat parts set a smaller distance (--params=distance=1), and where the "
            "scans show nothing but the part, support=none",
        )
    if support is None:
        return Relief(np.where(mask, depth - _mean(depth, mask), 0).astype(np.float32), mask, "none", (), 0.0)
    before = usual_mean((support.depth - depth)[mask])
    if settings.level:
        depth = depth - support.depth
    relative = np.where(mask, depth - _mean(depth, mask), 0).astype(np.float32)
    return Relief(relative, mask, support.way, support.moved, before)


def usual_mean(values: NDArray[np.float32]) -> float:
    """Mean of values (n,) of which the largest and the smallest percent, one at least, count as their next ones do.

    One flying pixel of 65535 mm would move the plain mean of a part by millimetres. The median would not move either,
    but of a part with a step in its middle it is now the one height and now the other.

    Example:
        >>> usual_mean(np.array([20.0, 20.0, 30.0, -65035.0], "f4"))
        20.0
    """
    low = np.percentile(values, FLYING, method="higher")
    high = np.percentile(values, 100 - FLYING, method="lower")
    return float(np.clip(values, low, high).mean(dtype=np.float64))


def check_measured(known: NDArray[np.bool_], depth: NDArray[np.float32]) -> None:
    """Refuse a scan of which next to nothing was measured, or always the same.

    Args:
        known: (height, width), where a depth was measured.
        depth: (height, width), mm.

    Raises:
        FileRejected: with the numbers.
    """
    count, size = int(known.sum()), known.size
    if count == 0:
        raise FileRejected(f"none of its {size} pixels has a depth, all are 0 or NaN", "scan the part again")
    if count < LEAST_MEASURED * size:
        raise FileRejected(
            f"{count} of its {size} pixels {'has' if count == 1 else 'have'} a depth, too few to see the part",
            "scan the part again, with more light or less gloss",
        )
    values = depth[known]
    if values.min() == values.max():
        raise FileRejected(
            f"all its pixels have the same depth, {values[0]:g} mm", "check the sensor and scan the part again"
        )


def resized(relief: Relief, size: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Depth (height, width), mm, 0 outside the part, and mask of a relief, brought to another size.

    A pixel is the part's where at least half of it is; then its depth is the mean over that half, so that no rim of
    half the depth surrounds the part, as plain resizing would make it.
    """
    inside = torch.from_numpy(relief.mask.astype(np.float32))[None, None]
    depth = torch.from_numpy(relief.depth)[None, None]
    both = interpolate(torch.cat([depth, inside], 1), size=size, mode="bilinear", antialias=True)[0].numpy()
    mask = both[1] >= 0.5
    return np.where(mask, both[0] / np.maximum(both[1], 0.5), 0).astype(np.float32), mask


def dilated(mask: NDArray[np.bool_], side: int = FACTOR) -> NDArray[np.bool_]:
    """Mask (height, width) grown by a square of `side` pixels, which takes in the edge of the part and closes holes.

    Example:
        >>> mask = np.zeros((5, 5), bool)
        >>> mask[2, 2] = True
        >>> dilated(mask, side=3).sum().item()
        9
    """
    before = side // 2
    padded = torch.nn.functional.pad(_tensor(mask), (before, side - 1 - before, before, side - 1 - before))
    grown: NDArray[np.bool_] = max_pool2d(padded, side, 1)[0, 0].numpy() > 0
    return grown


def unshuffled(depth: NDArray[np.float32]) -> NDArray[np.float32]:
    """Depth (height, width) with squares of 8 x 8 pixels as channels: (64, height / 8, width / 8)."""
    return np.asarray(pixel_unshuffle(torch.from_numpy(depth)[None], FACTOR).numpy(), np.float32)


def coarse_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Mask (height, width) at the size of the maps, (1, height / 8, width / 8): where any of a square's pixels is 1."""
    coarse: NDArray[np.bool_] = max_pool2d(_tensor(mask), FACTOR)[0].numpy() > 0
    return coarse


def gap(scan: Scan, relief: Relief, cells: int = CELLS) -> NDArray[np.float32]:
    """Radius in pixels of the largest spot inside the part's outline that was not measured, around each of its pixels.

    What was filled from its neighbours counts as not measured.

    Args:
        scan: as it was read.
        relief: of its part.
        cells: rows and columns of the answer.

    Returns:
        (1, cells, cells), the largest radius in each; 0 where all was measured.

    Example:
        >>> depth = np.full((40, 40), 570, "f4")
        >>> depth[8:13, 8:13] = np.nan
        >>> gap(Scan(depth), Relief(depth, np.isfinite(depth), "none", (), 0.0), cells=2).tolist()
        [[[3.0, 0.0], [0.0, 0.0]]]
    """
    return _largest(_distance(_missing(scan, relief))[None], cells)


def outline(scan: Scan, relief: Relief, cells: int = CELLS) -> NDArray[np.float32]:
    """By how many pixels each place lies inside of the part's outline, and outside of it.

    What was not measured inside counts as the part, a hole through which its support was measured does not; beyond the
    edge of the scan nothing is.

    Args:
        scan: as it was read.
        relief: of its part.
        cells: rows and columns of the answer.

    Returns:
        (2, cells, cells), the largest distance from the outline in each: inside, negative outside; and the reverse.

    Example:
        >>> mask = np.zeros((8, 8), bool)
        >>> mask[2:6, 2:6] = True
        >>> depth = np.where(mask, 570, 600).astype("f4")
        >>> outline(Scan(depth), Relief(depth, mask, "corners", (), 30.0), cells=2)[0].tolist()
        [[2.0, 2.0], [2.0, 2.0]]
    """
    step = max(1, min(relief.mask.shape) // SIZE)  # of a large scan every so many pixels tell as much
    part = (relief.mask | _missing(scan, relief))[::step, ::step]
    inside = step * (_distance(part) - _distance(~part))
    return _largest(np.stack([inside, -inside]), cells)


def _missing(scan: Scan, relief: Relief) -> NDArray[np.bool_]:
    """What lies inside of the part's outline and was not measured."""
    from scipy.ndimage import binary_fill_holes  # its import takes longer than a verdict

    inside: NDArray[np.bool_] = binary_fill_holes(relief.mask) & ~np.isfinite(scan.depth)
    return inside


def _distance(shape: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Pixels from each pixel of a shape to the next one that is not, or to the edge; 0 where it is not."""
    from scipy.ndimage import distance_transform_edt

    distance: NDArray[np.float32] = distance_transform_edt(np.pad(shape, 1))[1:-1, 1:-1].astype(np.float32)
    return distance


def _largest(values: NDArray[np.float32], cells: int) -> NDArray[np.float32]:
    """Values (n, height, width) as (n, cells, cells), the largest of each cell."""
    most: NDArray[np.float32] = adaptive_max_pool2d(torch.from_numpy(values), (cells, cells)).numpy()
    return most


def drawn(depth: NDArray[np.float32], mask: NDArray[np.bool_], limits: tuple[float, float]) -> NDArray[np.float32]:
    """Depth of a part drawn as grey, (height, width) in [0, 1]: near is bright, far is dark, what is no part black.

    Args:
        depth: (height, width), as `resized` gives it.
        mask: (height, width), as `resized` gives it.
        limits: mm, the nearest and the farthest relative depth, which are drawn as 1 and 0.1.
    """
    nearest, farthest = limits
    share = np.clip((farthest - depth) / max(farthest - nearest, 1e-6), 0, 1)
    return np.where(mask, 0.1 + 0.9 * share, 0).astype(np.float32)


def _mean(values: NDArray[np.float32], mask: NDArray[np.bool_]) -> np.float32:
    return np.float32(values[mask].mean(dtype=np.float64))


def _tensor(mask: NDArray[np.bool_]) -> Tensor:
    return torch.from_numpy(mask.astype(np.float32))[None, None]
