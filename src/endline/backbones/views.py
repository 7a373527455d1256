"""Rotated views of an image, and their pooled features (DifferNet, Rudolph 2024, chapter 4)."""

import math
from collections.abc import Iterator, Mapping

import torch
from torch import Tensor
from torch.nn import functional

from endline.backbones.networks import Backbone
from endline.backbones.pyramids import pooled_maps, pooled_pyramid


def rotate(images: Tensor, angle: float) -> Tensor:
    """Images (n, C, H, W) turned counter-clockwise about their centre by an angle in degrees.

    Size stays, values are bilinear. What comes in from outside is 0, black, as published: the same corners in every
    image, so the normal ones teach that they are normal. Right angles of a square image are exact up to rounding.
    """
    if angle % 360 == 0:
        return images
    turn = math.radians(angle)
    height, width = images.shape[-2:]
    cosine, sine = math.cos(turn), math.sin(turn)
    # Where a pixel of the result comes from, both in units of half the sides.
    source = [[cosine, -sine * height / width, 0.0], [sine * width / height, cosine, 0.0]]
    affine = torch.tensor(source, dtype=images.dtype, device=images.device).expand(len(images), 2, 3)
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, align_corners=False)


def view_angles(count: int) -> list[float]:
    """Angle of each of `count` views in degrees, equal steps of a whole turn.

    Example:
        >>> view_angles(4)
        [0.0, 90.0, 180.0, 270.0]
    """
    return [index * 360 / count for index in range(count)]


def rotated_views(images: Tensor, count: int) -> Iterator[Tensor]:
    """The images (n, C, H, W) turned by i * 360 / count degrees, i = 0 ... count - 1, one view of all at a time."""
    for angle in view_angles(count):
        yield rotate(images, angle)


def pooled_view(images: Tensor, backbone: Backbone, input_type: str, angle: float) -> Tensor:
    """Pooled pyramid of one rotated view of images (n, 1 or 3, H, W) in [0, 1], (n, features), finest scale first.

    Args:
        images: the images as they are.
        backbone: the loaded backbone.
        input_type: of the pyramid.
        angle: of the view, in degrees.

    Raises:
        EndlineError: as `pyramids.pyramid`.
    """
    return pooled_pyramid(rotate(images.to(backbone.device), angle), backbone, input_type).to(images.device)


def pooled_views(
    images: Tensor, backbone: Backbone, input_type: str, count: int, first: Mapping[str, Tensor] | None = None
) -> Tensor:
    """Pooled pyramid of every rotated view of images (n, 1 or 3, H, W) in [0, 1], (n, count, features).

    The first view is the image itself: where its pyramid is at hand, as `first`, it is not made again.

    Raises:
        EndlineError: as `pyramids.pyramid`.
    """
    angles = view_angles(count)
    known = [] if first is None else [pooled_maps(first)]
    made = [pooled_view(images, backbone, input_type, angle) for angle in angles[len(known) :]]
    return torch.stack([*known, *made], dim=1)
