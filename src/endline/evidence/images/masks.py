"""Defect masks: which pixels of a mask file are a defect, laid over their photograph."""

from collections.abc import Callable
from math import inf, log
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from endline.errors import EndlineError, FileRejected
from endline.evidence.images.decoding import MEGAPIXELS, decode_image, stored_orientation

RANGES = {"uint8": 255, "uint16": 65535, "int32": 65535, "float32": 1}
SHAPES = 0.05  # by which the ratio of the sides of a mask and its picture may differ
FLAT = 0.25  # share of faint pixels in flat areas from which their values are numbers, and no shades
FEW, MANY = 3, 100  # numbers of faint values: lines as thin as a pixel are numbers, and a wide blur is none
TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {  # EXIF orientation -> how stored pixels become upright
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels, 2).T,
    8: np.rot90,
}


def decode_mask(path: Path, megapixels: float = MEGAPIXELS) -> NDArray[np.bool_]:
    """Where a mask image (grey, colour, 1 to 32 bits) marks a defect, (height, width), in its own size.

    Each value above 0 of a mask of numbers (0, 1, 2, 3, or 0, 1, 255) or of colours is a defect. A mask may hold shades
    instead, smoothed or compressed as those of MTD are, whose faint rims are no defect: there counts what is above half
    its largest value. Numbers fill areas or lines, while shades change from pixel to pixel (`_numbered`). What is
    transparent is no defect, unless the whole mask is.

    Raises:
        FileRejected, OSError: as `decode_image`.
    """
    values, alpha = decode_image(path, megapixels)
    if values.dtype == np.bool_:
        return values
    if alpha.any():
        values = values * (alpha >= 128)[..., None]
    if values.ndim == 3:
        values = values.max(axis=2)
    largest = values.max()
    shades = largest > RANGES[values.dtype.name] / 2 and not _numbered(values)
    marked: NDArray[np.bool_] = values > (largest / 2 if shades else 0)
    return marked


def check_mask(mask: tuple[int, ...], size: tuple[int, int], shown: str) -> None:
    """Refuse a mask whose sides are not as those of its picture; one of another size but these sides is resized.

    Args:
        mask: height and width.
        size: height and width of the picture.
        shown: what it shows, in the user's words: "image", "part".

    Raises:
        FileRejected: with both sizes.

    Example:
        >>> check_mask((120, 40), (120, 160), "image")
        Traceback (most recent call last):
        endline.errors.FileRejected: the mask has 40 x 120 pixels and its image 160 x 120, of another shape: export ...
    """
    if abs(log(mask[0] / mask[1] * size[1] / size[0])) > SHAPES:
        raise FileRejected(
            f"the mask has {mask[1]} x {mask[0]} pixels and its {shown} {size[1]} x {size[0]}, of another shape",
            "export the mask over the whole image",
        )


def read_mask(path: Path, size: tuple[int, int], photograph: Path | None = None) -> NDArray[np.bool_]:
    """Defect mask of a photograph that is shown upright, resized to `size` (height, width).

    Along a side that shrinks, a pixel is a defect where any of the pixels it covers is (maximum pooling over cells
    that do not overlap), so that the smallest defect stays; along a side that grows, the nearest pixel is taken.

    Args:
        path: of the mask, which the index has found sound: its size is not judged again.
        size: (height, width).
        photograph: whose mask it is. Where its EXIF orientation turns it, the mask, which has none of its own, is
            turned with it; unless the mask has the shape of the upright photograph and not that of the stored one.

    Raises:
        EndlineError: when one of the two cannot be read.
    """
    read = path
    try:
        mask = decode_mask(path, inf)
        if photograph is not None:
            read = photograph
            mask = _turned(mask, path, photograph)
    except (FileRejected, OSError) as problem:
        name = "mask" if read == path else "photograph"
        raise EndlineError(f"The {name} {read} cannot be read: {_sentence(problem)}") from problem
    for axis, length in enumerate(size):
        mask = _resized(mask, length, axis)
    return mask


def _turned(mask: NDArray[np.bool_], path: Path, photograph: Path) -> NDArray[np.bool_]:
    """The mask turned as the photograph is, unless it is upright already."""
    orientation, (height, width) = stored_orientation(photograph)
    if orientation not in TURNS or stored_orientation(path)[0] in TURNS:  # a turn of its own was made by the decoder
        return mask
    shape = log(mask.shape[0] / mask.shape[1])
    stored, upright = log(height / width), log((height / width) if orientation < 5 else (width / height))
    turned: NDArray[np.bool_] = mask if abs(shape - upright) < abs(shape - stored) else TURNS[orientation](mask)
    return turned


def _numbered(values: NDArray[Any]) -> bool:
    """Whether the faint values (H, W) of a mask, up to half of the largest, number areas or lines.

    Numbers have an equal neighbour in the row and one in the column at most of their pixels; of the shades of MTD's
    388 masks 7 % at most have both, and of masks that passed through JPEG 2 %.
    """
    faint = (values > 0) & (values <= values.max() / 2)
    if not faint.any():
        return False
    count = len(np.unique(values[faint]))
    padded = np.pad(values.astype(np.float32), 1, constant_values=-1)
    height, width = values.shape

    def equal(down: int, right: int) -> NDArray[np.bool_]:
        moved = padded[1 + down : 1 + down + height, 1 + right : 1 + right + width]
        alike: NDArray[np.bool_] = (moved == values)[faint]
        return alike

    in_area = (equal(0, -1) | equal(0, 1)) & (equal(-1, 0) | equal(1, 0))
    if count <= MANY and in_area.mean() >= FLAT:
        return True
    around = [equal(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1) if (down, right) != (0, 0)]
    return count <= FEW and float(np.mean(np.sum(around, axis=0) >= 2)) >= 0.5


def _resized(mask: NDArray[np.bool_], length: int, axis: int) -> NDArray[np.bool_]:
    """Resize one axis of a mask; pixel i of `length` covers the pixels whose centres lie in its share of the side."""
    full = mask.shape[axis]
    steps = np.arange(length)
    if length < full:
        starts = -((length - 2 * steps * full) // (2 * length))  # the first centre, (start + 1/2) / full >= i / length
        resized: NDArray[np.bool_] = np.logical_or.reduceat(mask, starts, axis=axis)
    else:
        resized = np.take(mask, (2 * steps + 1) * full // (2 * length), axis=axis)
    return resized


def _sentence(problem: FileRejected | OSError) -> str:
    return str(problem) if isinstance(problem, FileRejected) else f"{problem.strerror}: check its rights and the disk."
