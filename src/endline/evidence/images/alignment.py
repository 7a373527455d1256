"""Parts photographed at any angle and place, brought to one pose: found before the background, moved and turned."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from endline.errors import EndlineError
from endline.evidence.images.finding_parts import (
    ANGLES,
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
from endline.evidence.images.posing import Pose, Reach, refined, soft, taken

FAILED = 0.1  # share of them in which no part may be found
MARGIN = 0.2  # what is shown around a part, as a share of its largest radius
ROUNDS = 3  # in which the mean picture and the angles towards it are found
TEMPLATE = 96  # pixels of the longer side of the mean look
BESIDE = 0.02  # share of what stands out that may lie outside of what is shown, beyond that of training photographs
Colour = NDArray[np.float32]
Rows = tuple[tuple[float, ...], ...]


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
        beside: largest share of what stands out in a training photograph that is not shown; None: it is not known,
            and not looked at, as of models that were trained before.

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
    beside: float | None = None

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
        return replace(made, beside=round(max(made.not_shown(part) for part in found), 4))

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
            plain.get("beside"),
        )

    def hides(self, part: Found) -> bool:
        """Whether more of what stands out in a photograph is not shown than in those that train: a second part, say."""
        return self.beside is not None and self.not_shown(part) > self.beside + BESIDE

    def not_shown(self, part: Found) -> float:
        """Share of what stands out from the background that lies outside of what is shown, 0 to 1.

        Example:
            >>> image = np.zeros((96, 192, 3), np.uint8)
            >>> image[30:60, 20:50] = 200
            >>> alignment = Alignment.fit([find_part(image)])
            >>> image[30:54, 140:170] = 200
            >>> round(alignment.not_shown(find_part(image)), 2)
            0.44
        """
        angle = self._first_pose(part).angle  # fractions of a degree change nothing here
        (down, right), sine, cosine = part.standing.T, math.sin(angle), math.cos(angle)
        down, right = cosine * down - sine * right, cosine * right + sine * down
        up, below, left, beside = self._shown
        shown = (-up <= down) & (down <= below) & (-left <= right) & (right <= beside)
        return 1 - float((shown & (np.hypot(down, right) <= self.radius)).mean())

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
        pose = self._first_pose(part)
        if self.template is None:
            return pose
        return refined(part.look, pose, self._shown, np.asarray(self.template), self.radius)

    def _first_pose(self, part: Found) -> Pose:
        turn = turn_towards(weighted(part.polar), np.asarray(self.reference, np.float32))
        return Pose(part.down, part.right, -2 * math.pi * turn / ANGLES)


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
