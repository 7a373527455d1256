"""Parts photographed at any angle and place, brought to one pose: found before the background, moved and turned."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from endline.errors import EndlineError
from endline.evidence.images.finding_parts import (
    ANGLES,
    SMALL,
    Found,
    background_of,
    find_part,
    reduced,
    rolled,
    turn_towards,
    weighted,
)
from endline.evidence.images.photographs import image_tensor, read_indexed_image
from endline.samples import TRAIN

CHOICES = ("auto", "as_is", "aligned")
SEEN = 40  # training photographs by which the pose is fitted
REDUCED = 384  # pixels of their longer side meanwhile
FAILED = 0.1  # share of them in which no part may be found
MARGIN = 1.08  # what is shown around a part, as a multiple of its largest radius
ROUNDS = 3  # in which the mean picture and the angles towards it are found
LOOK = 24  # pixels of a side of the looks by which it is judged whether parts become more alike
GAIN = 0.1  # by which their mean correlation must rise
Colour = NDArray[np.float32]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Alignment:
    """The pose that parts are brought to, fitted on training photographs.

    A part is found before a background of one colour, its middle comes to the middle, and it is turned by the angle
    that makes it most like the mean of the training parts: the largest correlation of pictures in polar coordinates,
    which also tells apart what principal axes cannot, a part upside down or one as long as wide.

    Attributes:
        radius: of the circle that is shown, in units of the photograph's longer side.
        reference: (angles, radii) mean look of the training parts in polar coordinates.

    Example:
        >>> image = np.zeros((96, 96, 3), np.uint8)
        >>> image[30:60, 20:50] = 200
        >>> alignment = Alignment.fit([find_part(image), find_part(np.rot90(image))])
        >>> alignment.aligned(image, (32, 32)).shape
        torch.Size([3, 32, 32])
    """

    radius: float
    reference: tuple[tuple[float, ...], ...]

    @classmethod
    def fit(cls, parts: Sequence[Found | None]) -> Self:
        """Pose of parts as `find_part` finds them: each is turned towards their mean, which is found in rounds.

        Raises:
            EndlineError: when more than one of ten was not found.
        """
        found = [part for part in parts if part is not None]
        if len(found) < max(1, (1 - FAILED) * len(parts)):
            raise EndlineError(
                f"In {len(parts) - len(found)} of {len(parts)} photographs no part stands out from a background of one "
                "colour: choose alignment=as_is, or photograph the parts as a whole before a plain background."
            )
        radius = MARGIN * float(np.quantile([part.radius for part in found], 0.95))
        polars = [weighted(part.polar) for part in found]
        mean = polars[0]
        for _ in range(ROUNDS):
            mean = np.mean([rolled(polar, turn_towards(polar, mean)) for polar in polars], axis=0, dtype=np.float32)
        return cls(radius, tuple(tuple(round(float(value), 4) for value in row) for row in mean))

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The alignment as `dataclasses.asdict` wrote it, or JSON gave it back."""
        return cls(float(plain["radius"]), tuple(tuple(row) for row in plain["reference"]))

    def aligned(
        self, pixels: NDArray[np.uint8], size: tuple[int, int], photograph: NDArray[np.uint8] | None = None
    ) -> Tensor:
        """A photograph, or a mask of it, in the common pose: (channels, *size), in [0, 1].

        A photograph in which no part is found is shown from its middle as it lies: nothing of it looks like a part.
        What lies outside of the circle around the part, or of the photograph, has the background's colour.

        Args:
            pixels: what is moved and turned, (H, W, channels).
            size: (height, width).
            photograph: (H, W, 3), by which the pose is found, and whose mask `pixels` is; None: `pixels` themselves.
        """
        image = pixels if photograph is None else photograph
        part = find_part(image)
        behind = np.zeros(pixels.shape[2], np.float32) if photograph is not None else None
        return self.placed(pixels, part, size, behind)

    def placed(
        self, pixels: NDArray[np.uint8], part: Found | None, size: tuple[int, int], behind: Colour | None = None
    ) -> Tensor:
        """Pixels (H, W, channels) in the common pose of the part that was found: (channels, *size), in [0, 1].

        Args:
            pixels: what is moved and turned.
            part: where it lies; None: shown from its middle as it lies.
            size: (height, width).
            behind: (channels,) what lies outside of the circle or of the photograph; None: the background's colour.
        """
        height, width = pixels.shape[:2]
        unit = max(height, width)
        if part is None:
            middle, steps = (0.5, 0.5), 0.0
        else:
            middle = (part.down * unit / height, part.right * unit / width)
            steps = turn_towards(weighted(part.polar), np.asarray(self.reference, np.float32))
        if behind is None:
            behind = background_of(reduced(pixels, SMALL)) if part is None else part.background
        return _taken(pixels, middle, self.radius * unit, steps, size, torch.tensor(behind))


def fitted_alignment(
    samples: pd.DataFrame, folder: Path, choice: str, bits: int, megapixels: float
) -> Alignment | None:
    """Alignment of the training photographs; None where they are taken as they are.

    `auto` needs no label: parts are aligned where that makes good ones more alike, by the mean correlation of each
    small picture with the mean of the others.

    Args:
        samples: the sample table; of its training rows some are read.
        folder: raw folder.
        choice: one of `CHOICES`.
        bits: of the scale by which photographs are read.
        megapixels: largest photograph that is read.

    Raises:
        EndlineError: for another choice, and for `aligned` where no part is found.
    """
    if choice not in CHOICES:
        raise EndlineError(f"There is no alignment '{choice}': choose one of {', '.join(CHOICES)}.")
    if choice == "as_is":
        return None
    training = samples[samples["split"] == TRAIN]
    if "control" in training:
        training = training[~training["control"].to_numpy(bool)]
    paths = training["path"].iloc[np.unique(np.linspace(0, len(training) - 1, SEEN).round().astype(int))]
    images: list[NDArray[np.uint8]] = []
    parts: list[Found | None] = []
    for path in paths:
        images.append(reduced(read_indexed_image(folder / path, bits, megapixels), REDUCED))
        parts.append(find_part(images[-1]))
        if choice == "auto" and parts.count(None) > FAILED * len(paths):
            return None
    alignment = Alignment.fit(parts)
    if choice == "aligned":
        return alignment
    before = likeness([image_tensor(image, (LOOK, LOOK)) for image in images])
    pairs = zip(images, parts, strict=True)
    after = likeness([alignment.placed(image, part, (LOOK, LOOK)) for image, part in pairs])
    taken = after > before + GAIN
    log.info(
        "Photographs of good parts have a mean correlation of %.2f as they are, %.2f aligned: they are %s (alignment).",
        before, after, "aligned" if taken else "taken as they are",
    )  # fmt: skip
    return alignment if taken else None


def likeness(images: Sequence[Tensor]) -> float:
    """Mean correlation of each grey picture (3, H, W) with the mean of the others; 0 of one alone.

    Example:
        >>> picture = torch.rand(3, 8, 8, generator=torch.manual_seed(0))
        >>> round(likeness([picture, picture / 2]), 3)
        1.0
    """
    looks = torch.stack([image.mean(0).flatten() for image in images]).double()
    looks = looks - looks.mean(1, keepdim=True)
    looks = looks / looks.norm(dim=1, keepdim=True).clamp(min=1e-9)
    others = looks.sum(0) - looks
    return float(((looks * others).sum(1) / others.norm(dim=1).clamp(min=1e-9)).mean())


def _taken(
    pixels: NDArray[np.uint8],
    middle: tuple[float, float],
    radius: float,
    steps: float,
    size: tuple[int, int],
    background: Tensor,
) -> Tensor:
    """The square around a circle, turned by steps of angle, resized to `size`: (channels, *size) in [0, 1].

    Args:
        pixels: (H, W, channels).
        middle: of the circle, as shares of height and width.
        radius: in pixels.
        steps: of angle; a part that lies `steps` behind the reference is turned on by so many.
        size: (height, width).
        background: (channels,) colour of what lies outside of the circle or of the photograph, 0 to 255.
    """
    height, width = pixels.shape[:2]
    factor = min(1.0, max(size) / (2 * radius))  # shrunk first and antialiased, so that fine texture becomes its mean
    stored = torch.tensor(np.ascontiguousarray(pixels)).permute(2, 0, 1)[None].float() - background[:, None, None]
    shrunk = [max(2, round(side * factor)) for side in (height, width)]
    stored = interpolate(stored, size=shrunk, mode="bilinear", align_corners=False, antialias=True)
    down, right = torch.meshgrid(*((2 * torch.arange(side) + 1) / side - 1 for side in size), indexing="ij")
    angle = torch.tensor(-2 * torch.pi * steps / ANGLES)
    x = 2 * middle[1] - 1 + 2 * radius * (angle.cos() * right - angle.sin() * down) / width
    y = 2 * middle[0] - 1 + 2 * radius * (angle.sin() * right + angle.cos() * down) / height
    grid = torch.stack([x, y], 2)[None]
    inside = down.square() + right.square() <= 1
    taken = grid_sample(stored, grid, mode="bicubic", padding_mode="zeros", align_corners=False)[0] * inside
    return ((taken + background[:, None, None]) / 255).clamp(0, 1)
