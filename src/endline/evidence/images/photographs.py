"""Photographs as arrays: reading any image file on a scale that is the same for all, and resizing it for a backbone."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from endline.errors import EndlineError, FileRejected
from endline.evidence.decoded import DECODED
from endline.evidence.images.decoding import DEEPEST, MEGAPIXELS, decode_image

SMALLEST = 8  # pixels of a side
DEPTHS = (8, 10, 12, 14, 16)  # bits of a camera whose values lie in files of 16


class StoredPhotograph(NamedTuple):
    """A photograph as stored.

    Attributes:
        values: (H, W) bool, uint16, int32 or float32, or (H, W, 3) uint8 or uint16.
        transparent: bool of no dimension, whether a pixel is less than opaque.

    Example:
        >>> StoredPhotograph(np.full((8, 8), 4095, np.uint16), np.array(False)).peak
        4095
    """

    values: NDArray[Any]
    transparent: NDArray[np.bool_]

    @property
    def peak(self) -> int | None:
        """Its largest value, where that is an integer of more than 8 bits and so leaves its scale open; else None."""
        return int(self.values.max()) if self.values.dtype in (np.uint16, np.int32) else None


def read_photograph(path: Path, megapixels: float = MEGAPIXELS) -> StoredPhotograph:
    """Decode a photograph, or take what was decoded of it before; its values must not be written to.

    Transparency is ignored, and every pixel has its colour as stored: a camera sees no transparent pixel, so the
    channel comes from an export, and where it is 0 throughout the picture would be black. One rule for all, so that a
    single opaque pixel does not change the others.

    Raises:
        FileRejected: as `decode_image`, for fewer than 8 x 8 pixels, and for values that are not finite or lie outside
            0..65535 (integers) or 0..1 (floats).
        OSError: when the disk or the rights to it fail.
    """
    return DECODED.read(path, lambda file: _read(file, megapixels))


def read_image(path: Path, bits: int = 16, megapixels: float = MEGAPIXELS) -> NDArray[np.uint8]:
    """Read a photograph of any kind as 8-bit colours, (H, W, 3), upright; grey ones have three equal channels.

    Args:
        path: of the file.
        bits: of the scale of integers of more than 8 bits, as `eight_bits` takes it.
        megapixels: largest size.

    Raises:
        FileRejected, OSError: as `read_photograph`.
    """
    return eight_bits(read_photograph(path, megapixels).values, bits)


def read_indexed_image(path: Path, bits: int = 16, megapixels: float = MEGAPIXELS) -> NDArray[np.uint8]:
    """Image (H, W, 3) of a file that the index has found sound; arguments as `read_image`.

    Raises:
        EndlineError: when it has vanished or been damaged since.
    """
    try:
        return read_image(path, bits, megapixels)
    except (OSError, FileRejected) as error:
        raise EndlineError(f"{path} was indexed and cannot be read any more ({error}): restore it.") from error


def eight_bits(values: NDArray[Any], bits: int = 16) -> NDArray[np.uint8]:
    """Values of a photograph on the scale 0..255, rounded, (H, W, 3).

    The scale is that of the camera, the same for all photographs of a set, and never a photograph's own darkest and
    brightest value, by which a defect would change all its other pixels and a dark photograph would become bright.

    Args:
        values: as `StoredPhotograph` has them.
        bits: integers of more than 8 bits are read from 0..2^bits - 1, and what is above is white; floats from 0..1.
    """
    if values.dtype == np.bool_:
        grey = values.astype(np.uint8) * np.uint8(255)
    elif values.dtype == np.uint8:
        grey = values
    elif values.dtype == np.float32:
        grey = np.rint(values * np.float32(255)).astype(np.uint8)
    else:
        white = 2**bits - 1
        grey = ((np.minimum(values, white).astype(np.uint32) * 255 + white // 2) // white).astype(np.uint8)
    return grey if grey.ndim == 3 else np.repeat(grey[..., None], 3, axis=2)


def depth_of(peak: float) -> int:
    """Bits of the smallest scale of a camera, of `DEPTHS`, that holds a value.

    Example:
        >>> depth_of(1023), depth_of(1024)
        (10, 12)
    """
    return next(bits for bits in DEPTHS if peak < 2**bits)


def image_tensor(image: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """Resize (H, W, 3) to `size` (height, width) without a crop: (3, height, width) float32 in [0, 1].

    Bilinear, antialiased where it shrinks, so that a fine texture becomes its mean and not another texture.
    """
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
    return (resized[0] / 255).clamp(0, 1)  # the weights add up to 1 but for rounding


def _read(path: Path, megapixels: float) -> StoredPhotograph:
    decoded = decode_image(path, megapixels)
    height, width = decoded.values.shape[:2]
    if min(height, width) < SMALLEST:
        raise FileRejected(
            f"{width} x {height} pixels are too few, at least {SMALLEST} x {SMALLEST} are needed",
            "take the photograph at a higher resolution",
        )
    if decoded.values.dtype not in (np.bool_, np.uint8):
        _check_scale(decoded.values)
    return StoredPhotograph(decoded.values, np.array(decoded.transparent))


def _check_scale(values: NDArray[Any]) -> None:
    broken = int(np.count_nonzero(~np.isfinite(values)))
    if broken:
        raise FileRejected(f"{broken} pixels are NaN or infinite", "export it again from its source")
    brightest = 1 if values.dtype == np.float32 else DEEPEST
    low, high = values.min(), values.max()
    if low < 0 or high > brightest:
        raise FileRejected(
            f"its values go from {low:g} to {high:g}, beyond the scale of 0 to {brightest}",
            "export it as PNG of 8 or 16 bits",
        )
