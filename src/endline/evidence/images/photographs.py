"""Photographs as arrays: reading any image file on a fixed scale, and resizing it for a backbone."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import interpolate

from endline.errors import EndlineError, FileRejected
from endline.evidence.images.masks import decode_image

SMALLEST = 8  # pixels of a side
DEEPEST = 65535


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a photograph of any kind as 8-bit colours, (H, W, 3), upright; grey ones have three equal channels.

    An image depends on itself alone and on no other pixel than its own: grey of more than 8 bits is scaled from
    0..65535 (integers, whatever their container) or 0..1 (floats), never from the image's own darkest and brightest
    value, by which a defect would change all the others. A camera of 12 bits should write them as the upper ones.
    Transparent pixels lie on black, for no light comes from there.

    Raises:
        FileRejected: as `decode_image`, for fewer than 8 x 8 pixels, and for values that are not finite or lie
            outside the scale.
        OSError: when the disk or the rights to it fail.
    """
    values = decode_image(path)
    height, width = values.shape[:2]
    if min(height, width) < SMALLEST:
        raise FileRejected(
            f"{width} x {height} pixels are too few, at least {SMALLEST} x {SMALLEST} are needed",
            "take the photograph at a higher resolution",
        )
    if values.ndim == 3:
        return values
    return np.repeat(_eight_bits(values)[..., None], 3, axis=2)


def read_indexed_image(path: Path) -> NDArray[np.uint8]:
    """Image (H, W, 3) of a file that the index has found sound.

    Raises:
        EndlineError: when it has vanished or been damaged since.
    """
    try:
        return read_image(path)
    except (OSError, FileRejected) as error:
        raise EndlineError(f"{path} was indexed and cannot be read any more ({error}): restore it.") from error


def image_tensor(image: NDArray[np.uint8], size: tuple[int, int]) -> Tensor:
    """Resize (H, W, 3) to `size` (height, width) without a crop: (3, height, width) float32 in [0, 1].

    Bilinear, antialiased where it shrinks, so that a fine texture becomes its mean and not another texture.
    """
    pixels = torch.from_numpy(image).permute(2, 0, 1)[None].float()
    resized = interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
    return (resized[0] / 255).clamp(0, 1)  # the weights add up to 1 but for rounding


def _eight_bits(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """Grey of 1, 16 or 32 bits (H, W) on the scale 0..255, rounded."""
    if grey.dtype == np.bool_:
        return grey.astype(np.uint8) * np.uint8(255)
    broken = int(np.count_nonzero(~np.isfinite(grey)))
    if broken:
        raise FileRejected(f"{broken} pixels are NaN or infinite", "export it again from its source")
    brightest = 1 if grey.dtype == np.float32 else DEEPEST
    low, high = grey.min(), grey.max()
    if low < 0 or high > brightest:
        raise FileRejected(
            f"its values go from {low:g} to {high:g}, beyond the scale of 0 to {brightest}",
            "export it as PNG of 8 or 16 bits",
        )
    if brightest == 1:
        return np.rint(grey * np.float32(255)).astype(np.uint8)
    return ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)  # 65535 = 257 * 255
