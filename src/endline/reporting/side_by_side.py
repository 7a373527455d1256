"""Pictures of a part that stand side by side in an exhibit: their sizes, and how a map or a mask is laid over them."""

import numpy as np
from numpy.typing import NDArray

from endline.reporting.palette import WIDTH

LONGEST = 512  # pixels of the longer side that a report shows
NARROW = WIDTH * 0.44  # inches: pictures side by side show more than one large one
BAR = 0.7  # inches that the colour bar takes beside the map


def in_grey(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A picture (H, W, 3) without its colours, so that those of a map over it are the map's alone.

    Example:
        >>> in_grey(np.array([[[10, 20, 60]]], np.uint8)).tolist()
        [[[30, 30, 30]]]
    """
    return np.repeat(picture.mean(2, keepdims=True), 3, axis=2).round().astype(np.uint8)


def dimmed_beside(picture: NDArray[np.uint8], mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    """A picture (H, W, 3), a third as bright where a mask (H, W) is False.

    Example:
        >>> dimmed_beside(np.full((1, 2, 3), 90, np.uint8), np.array([[True, False]]))[..., 0].tolist()
        [[90, 30]]
    """
    return np.where(mask[..., None], picture, picture // 3).astype(np.uint8)
