"""The stored parts that the arrays of a scan are joined of, and how each is made."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from endline.evidence.scans.preparing import (
    FACTOR,
    SIZE,
    Relief,
    coarse_mask,
    dilated,
    gap,
    outline,
    resized,
    unshuffled,
)
from endline.evidence.scans.scan import Scan

JOINED = SIZE // FACTOR  # rows and columns of maps in which a position holds a square of pixels of depth
FPFH = (28, 28)  # rows and columns of histograms and colours
Small = tuple[NDArray[np.float32], NDArray[np.bool_]]

_OF_DEPTH: Mapping[str, Callable[[Small], NDArray[Any]]] = {
    "unshuffled": lambda small: unshuffled(small[0]),
    "mask": lambda small: coarse_mask(dilated(small[1])),
    "depth": lambda small: small[0][None],
    "depth_mask": lambda small: small[1][None],
}
_OF_SCAN: Mapping[str, Callable[[Scan, Relief], NDArray[Any]]] = {"gap": gap, "outline": outline}
SCAN_PARTS = (*_OF_DEPTH, *_OF_SCAN, "fpfh")


def scan_parts(scans: Sequence[tuple[Scan, Relief]], wanted: Collection[str]) -> dict[str, NDArray[Any]]:
    """The asked ones of `SCAN_PARTS` of scans, (scans, ...) each.

    `unshuffled` is (64, 24, 24), squares of 8 x 8 pixels of depth as channels; `mask` (1, 24, 24) the foreground, grown
    by such a square; `depth` and `depth_mask` (1, 192, 192); `gap` (1, 48, 48) and
    `outline` (2, 48, 48), see `preparing`; `fpfh` (33, 28, 28).

    Args:
        scans: each with the relief of its part.
        wanted: names; others are left aside.

    Example:
        >>> depth = np.full((64, 64), 600, "f4")
        >>> depth[16:48, 16:48] = 570
        >>> relief = Relief(depth, depth < 600, "corners", (), 30.0)
        >>> {name: made.shape for name, made in scan_parts([(Scan(depth), relief)], ["mask", "depth"]).items()}
        {'mask': (1, 1, 24, 24), 'depth': (1, 1, 192, 192)}
    """
    if not scans or not set(wanted) & set(SCAN_PARTS):
        return {}
    small = [resized(relief, (SIZE, SIZE)) for _, relief in scans]
    made = {name: np.stack([make(each) for each in small]) for name, make in _OF_DEPTH.items() if name in wanted}
    for name, make_of_scan in _OF_SCAN.items():
        if name in wanted:
            made[name] = np.stack([make_of_scan(*each) for each in scans])
    if "fpfh" in wanted:
        from endline.evidence.scans.fpfh import fpfh_map  # only detectors of histograms need them

        made["fpfh"] = np.stack([fpfh_map(scan, relief.mask, FPFH) for scan, relief in scans])
    return made


def at_positions(maps: Tensor) -> Tensor:
    """Maps (n, C, h, w) of a backbone brought to the positions of the depth, (n, C, 24, 24).

    Example:
        >>> import torch
        >>> at_positions(torch.zeros(1, 8, 12, 12)).shape
        torch.Size([1, 8, 24, 24])
    """
    if maps.shape[-2:] == (JOINED, JOINED):
        return maps
    return interpolate(maps, size=(JOINED, JOINED), mode="bilinear", antialias=maps.shape[-1] > JOINED)


def glances(scans: Sequence[tuple[Scan, Relief]]) -> NDArray[np.float32]:
    """What a glance at scans says, (scans, 3): share of the part, deviation of its depth and its mean step, in mm."""
    return np.stack([_glance(relief.depth, relief.mask) for _, relief in scans])


def _glance(depth: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    steps = [np.abs(np.diff(depth, axis=axis))[_both(mask, axis)] for axis in (0, 1)]
    means = [float(each.mean()) if each.size else 0.0 for each in steps]
    return np.array([mask.mean(), depth[mask].std(), sum(means)], np.float32)


def _both(mask: NDArray[np.bool_], axis: int) -> NDArray[np.bool_]:
    """Where two neighbours along an axis are both of the part."""
    first, second = (np.delete(mask, end, axis) for end in (-1, 0))
    return first & second
