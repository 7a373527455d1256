"""How a photograph looks, as one text, and the digest of its pixels: what finds copies and near copies of it."""

from hashlib import sha256
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.functional import interpolate

from endline.evidence.near_duplicates import look_hash

LOOK = 16  # pixels of a side of the small picture


def look_of(values: NDArray[Any]) -> str:
    """Look of a photograph (H, W) or (H, W, 3) of any type: its grey picture of 16 x 16, 512 hexadecimal digits.

    It does not change with brightness and contrast of the whole, nor with the scale of the values.
    """
    # A plane at a time and the mean after it is small, so that no second full picture is held in floats.
    planes = [values] if values.ndim == 2 else [values[..., channel] for channel in range(3)]
    return look_hash(np.mean([_small(plane) for plane in planes], axis=0).ravel())


def picture_digest(values: NDArray[Any]) -> str:
    """SHA-256 of the pixels (H, W) or (H, W, 3), the same for grey stored as one channel or as three equal ones."""
    if values.ndim == 3 and all((values[..., 0] == values[..., channel]).all() for channel in (1, 2)):
        values = values[..., 0]
    if values.dtype == np.bool_:
        values = values * np.uint8(255)
    return sha256(f"{values.shape} {values.dtype}".encode() + np.ascontiguousarray(values).tobytes()).hexdigest()


def _small(plane: NDArray[Any]) -> NDArray[np.float64]:
    pixels = torch.from_numpy(plane.astype(np.float32))[None, None]
    small = interpolate(pixels, size=(LOOK, LOOK), mode="bilinear", align_corners=False, antialias=True)
    return small[0, 0].numpy().astype(np.float64)
