"""Parts photographed at any angle and place, brought to one pose: found before the background, moved and turned."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from endline.errors import EndlineError
from endline.evidence.images.finding_parts import (
    ANGLES,
    FINDERS,
    OTSU,
    SMALL,
    Finder,
    Found,
    Grey,
    background_of,
    find_part,
    reduced,
    rolled,
    turn_towards,
    weighted,
)
from endline.evidence.images.photographs import image_tensor, read_indexed_image
from endline.evidence.images.posing import Pose, Reach, refined, soft, taken
from endline.samples import TRAIN

CHOICES = ("auto", "as_is", "aligned")
SEEN = 40  # training photographs by which the pose is fitted
REDUCED = 384  # pixels of their longer side meanwhile
FAILED = 0.1  # share of them in which no part may be found
MARGIN = 0.2  # what is shown around a part, as a share of its largest radius
ROUNDS = 3  # in which the mean picture and the angles towards it are found
LOOK = 24  # pixels of a side of the looks by which it is judged whether parts become more alike
GAIN = 0.1  # by which their mean correlation must rise
TEMPLATE = 96  # pixels of the longer side of the mean look
Colour = NDArray[np.float32]
Rows = tuple[tuple[float, ...], ...]
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
        reach: how far up, down, left and right of a part's middle is shown, in the same unit; None: the square around
            the circle.
        template: (h, w) mean look of the training parts as they are shown, by which the pose is refined. None: it is
            not; models that were trained before have neither reach nor template.
        finder: how parts are found, and by what of them they are turned.

    Example:
        >>> image = np.zeros((96, 96, 3), np.uint8)
        >>> image[30:60, 20:50] = 200
        >>> alignment = Alignment.fit([find_part(image), find_part(np.rot90(image))])
        >>> alignment.aligned(image, (32, 32)).shape
        torch.Size([3, 32, 32])
    """

    radius: float
    reference: Rows
    reach: Reach | None = None
    template: Rows | None = None
    finder: Finder = OTSU

    @property
    def ratio(self) -> float:
        """Height by width of what is shown."""
        if self.reach is None:
            return 1.0
        up, down, left, right = self.reach
        return (up + down) / (left + right)

    def size(self, longest: int) -> tuple[int, int]:
        """Height and width in pixels of what is shown, where its longer side has so many.

        Example:
            >>> Alignment(0.4, ((0.0,),), (0.4, 0.4, 0.1, 0.1)).size(200)
            (200, 50)
        """
        height, width = min(1.0, self.ratio), min(1.0, 1 / self.ratio)
        return max(1, round(longest * height)), max(1, round(longest * width))

    @classmethod
    def fit(cls, parts: Sequence[Found | None], finder: Finder = OTSU) -> Self:
        """Pose of parts as the finder finds them: each is turned towards their mean, which is found in rounds.

        The mean is then turned so that the rectangle around the parts is smallest: a long part is shown upright or
        across, and few pixels are spent on its background. The pose is not refined, see `sharpened`.

        Raises:
            EndlineError: when more than one of ten was not found.
        """
        found = [part for part in parts if part is not None]
        if len(found) < max(1, (1 - FAILED) * len(parts)):
            raise EndlineError(
                f"In {len(parts) - len(found)} of {len(parts)} photographs no part stands out from a background of one "
                "colour: choose alignment=as_is, or photograph the parts as a whole before a plain background."
            )
        largest = float(np.quantile([part.radius for part in found], 0.95))
        polars = [weighted(part.polar) for part in found]
        mean = polars[0]
        for _ in range(ROUNDS):
            mean = np.mean([rolled(polar, turn_towards(polar, mean)) for polar in polars], axis=0, dtype=np.float32)
        turns = [turn_towards(polar, mean) for polar in polars]
        outlines = [part.outline for part in found]
        reaches = {step: _reach(outlines, [turn + step for turn in turns]) for step in np.arange(0, ANGLES // 2, 0.5)}
        step = min(reaches, key=lambda tried: _area(reaches[tried]))
        up, down, left, right = (round(side + MARGIN * largest, 6) for side in reaches[step])
        return cls((1 + MARGIN) * largest, _rows(rolled(mean, step)), (up, down, left, right), finder=finder)

    def sharpened(self, parts: Sequence[Found | None]) -> Self:
        """The alignment with the mean look of parts as template: each is brought to it again, in rounds."""
        found = [part for part in parts if part is not None]
        made, size = self, self.size(TEMPLATE)
        for _ in range(ROUNDS):
            shown = [taken(x.look, made._pose(x), made._shown, size, np.zeros(1), self.radius) for x in found]
            looks = [soft(image) for image in shown]
            made = replace(made, template=_rows(np.mean([image / image.mean() for image in looks], axis=0)))
        return made

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Self:
        """The alignment as `dataclasses.asdict` wrote it, or JSON gave it back."""
        reach, template = plain.get("reach"), plain.get("template")
        return cls(
            float(plain["radius"]),
            tuple(map(tuple, plain["reference"])),
            None if reach is None else tuple(reach),
            None if template is None else tuple(map(tuple, template)),
            Finder(**plain.get("finder", {})),
        )

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
        part = find_part(image, self.finder)
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
        pose = self._pose(part) if part is not None else _middle(pixels)
        if behind is None:
            behind = background_of(reduced(pixels, SMALL)) if part is None else part.background
        return (taken(pixels, pose, self._shown, size, behind, self.radius) / 255).clamp(0, 1)

    @property
    def _shown(self) -> Reach:
        return self.reach or (self.radius,) * 4

    def _pose(self, part: Found) -> Pose:
        """Where a part lies: by its polar picture, refined by its look where there is a template."""
        turn = turn_towards(weighted(part.polar), np.asarray(self.reference, np.float32))
        pose = Pose(part.down, part.right, -2 * math.pi * turn / ANGLES)
        if self.template is None:
            return pose
        return refined(part.look, pose, self._shown, np.asarray(self.template), self.radius)


def fitted_alignment(
    samples: pd.DataFrame, folder: Path, choice: str, bits: int, megapixels: float
) -> Alignment | None:
    """Alignment of the training photographs; None where they are taken as they are.

    No label is needed: of the ways to find parts the one is taken that makes good ones most alike, by the mean
    correlation of each small picture with the mean of the others; by `auto` they are aligned where that makes them
    more alike than they are.

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
    found: dict[Finder, list[Found | None]] = {finder: [] for finder in FINDERS}
    for path in paths:
        images.append(reduced(read_indexed_image(folder / path, bits, megapixels), REDUCED))
        for finder, parts in found.items():
            parts.append(find_part(images[-1], finder))
        if choice == "auto" and all(parts.count(None) > FAILED * len(paths) for parts in found.values()):
            return None
    tried = [(finder, parts) for finder, parts in found.items() if parts.count(None) <= FAILED * len(paths)]
    fits = [Alignment.fit(parts, finder).sharpened(parts) for finder, parts in tried or list(found.items())[:1]]
    before = likeness([image_tensor(image, (LOOK, LOOK)) for image in images])
    after, alignment = max(((_alike(fit, images, found[fit.finder]), fit) for fit in fits), key=itemgetter(0))
    taken_so = choice == "aligned" or after > before + GAIN
    log.info(
        "Photographs of good parts have a mean correlation of %.2f as they are, %.2f aligned: they are %s (alignment).",
        before, after, "aligned" if taken_so else "taken as they are",
    )  # fmt: skip
    return alignment if taken_so else None


def _alike(alignment: Alignment, images: Sequence[NDArray[np.uint8]], parts: Sequence[Found | None]) -> float:
    """Likeness of photographs aligned, with as much background as in those that they are compared with."""
    whole = replace(alignment, reach=None)
    pairs = zip(images, parts, strict=True)
    return likeness([whole.placed(image, part, (LOOK, LOOK)) for image, part in pairs])


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


def _reach(outlines: Sequence[Grey], turns: Sequence[float]) -> Reach:
    """How far up, down, left and right of their middles nearly all parts go, each turned on by steps of angle."""
    sides = []
    for outline, turn in zip(outlines, turns, strict=True):
        angle = 2 * np.pi * turn / ANGLES
        down = outline[:, 0] * np.cos(angle) + outline[:, 1] * np.sin(angle)
        right = outline[:, 1] * np.cos(angle) - outline[:, 0] * np.sin(angle)
        sides.append((-down.min(), down.max(), -right.min(), right.max()))
    up, down, left, right = (float(side) for side in np.quantile(sides, 0.95, axis=0))
    return up, down, left, right


def _rows(values: NDArray[Any]) -> Rows:
    return tuple(tuple(round(float(value), 4) for value in row) for row in values)


def _middle(pixels: NDArray[Any]) -> Pose:
    height, width = pixels.shape[:2]
    return Pose(0.5 * height / max(height, width), 0.5 * width / max(height, width), 0.0)


def _area(reach: Reach) -> float:
    up, down, left, right = reach
    return (up + down) * (left + right)
