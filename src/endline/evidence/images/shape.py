"""The size that photographs are brought to: in their own shape, where they have one."""

import logging
import math
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from endline.errors import EndlineError
from endline.samples import TRAIN

CHOICES = ("auto", "kept", "stretched")
ALIKE = 1.1  # ratio of two ratios of sides up to which they are one shape
SHARE = 0.95  # of the training photographs that have it
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Size:
    """What photographs are resized to.

    Attributes:
        height, width: in pixels.
        ratio: height by width of the training photographs; None where they have no one shape, or it is not asked.

    Example:
        >>> Size(640, 256, 2.52).ratio
        2.52
    """

    height: int
    width: int
    ratio: float | None = None

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width


def fitted_size(
    samples: pd.DataFrame, given: tuple[int, int], choice: str, multiple: int, shown: float | None = None
) -> Size:
    """Size in the shape of the training photographs, of about as many pixels as the given one.

    A network that was trained on photographs as they are sees scratches and letters as they are, not flattened, for
    the same work. Where photographs have several shapes, or the given one, the size is the given one.

    Args:
        samples: the sample table, with `split`, `height` and `width`.
        given: height and width in pixels.
        choice: `kept`: by the median ratio of sides, whatever the others are; `stretched`: the given size; `auto`:
            kept where nearly all training photographs have one shape.
        multiple: what height and width are multiples of.
        shown: height by width of what is shown of an aligned part, which counts instead of the photographs'.

    Raises:
        EndlineError: for another choice.

    Example:
        >>> samples = pd.DataFrame({"split": ["train"] * 3, "height": [1240, 1260, 1280], "width": [500] * 3})
        >>> fitted_size(samples, (384, 384), "auto", 32)
        Size(height=640, width=256, ratio=2.52)
    """
    if choice not in CHOICES:
        raise EndlineError(f"There is no shape '{choice}': choose one of {', '.join(CHOICES)}.")
    if choice == "stretched":
        return Size(*given)
    ratio = usual_ratio(samples, SHARE if choice == "auto" else 0) if shown is None else shown
    if ratio is None:
        return Size(*given)
    if _alike(given[0] / given[1], ratio):
        return Size(*given, ratio)
    return Size(*_sides(ratio, given[0] * given[1], multiple), ratio)


def usual_ratio(samples: pd.DataFrame, share: float = SHARE) -> float | None:
    """Median of height by width of the training photographs; None where fewer than a share of them have it.

    Args:
        samples: the sample table, with `split`, `height` and `width`.
        share: in [0, 1].

    Example:
        >>> samples = pd.DataFrame({"split": "train", "height": [30, 30, 10], "width": 10})
        >>> usual_ratio(samples), usual_ratio(samples, 0.5)
        (None, 3.0)
    """
    training = samples[samples["split"] == TRAIN]
    if training.empty:
        return None
    ratios = training["height"].to_numpy(float) / training["width"].to_numpy(float)
    ratio = float(np.median(ratios))
    return ratio if np.mean(_alike(ratios, ratio)) >= share else None


def warn_of_shapes(samples: pd.DataFrame, ratio: float | None) -> None:
    """Name photographs of another shape than those that train: they are stretched to it.

    Args:
        samples: the sample table, with `path`, `height` and `width`.
        ratio: height by width of those that train; None where they have no one shape.
    """
    if ratio is None:
        return
    others = samples[~_alike(samples["height"].to_numpy(float) / samples["width"].to_numpy(float), ratio)]
    if others.empty:
        return
    first, more = others.iloc[0], len(others) - 1
    log.warning(
        "%s is %d x %d pixels%s; those that train are %.2f times as high as wide, and it is stretched to that: "
        "photograph parts as those that train were.",
        first["path"],
        first["height"],
        first["width"],
        f", and {more} more have another shape too" if more else "",
        ratio,
    )


def _alike(ratios: np.ndarray | float, ratio: float) -> np.ndarray:
    return np.abs(np.log(np.asarray(ratios) / ratio)) <= math.log(ALIKE)


def _sides(ratio: float, pixels: int, multiple: int) -> tuple[int, int]:
    """Multiples nearest to the ratio and the number of pixels, by their logarithms; the ratio counts twice."""
    exact = (math.sqrt(pixels * ratio), math.sqrt(pixels / ratio))
    highs, wides = ({max(1, math.floor(side / multiple)), math.ceil(side / multiple)} for side in exact)

    def strays(sides: tuple[int, int]) -> float:
        high, wide = (side * multiple for side in sides)
        return 2 * abs(math.log(high / wide / ratio)) + abs(math.log(high * wide / pixels))

    high, wide = min(product(sorted(highs), sorted(wides)), key=strays)
    return high * multiple, wide * multiple
