"""From images to the arrays that detectors read: the one way for photographs and for mel images."""

from collections.abc import Collection
from dataclasses import dataclass

import torch
from torch import Tensor

from endline.backbones.networks import Backbone
from endline.backbones.pyramids import pyramid
from endline.backbones.views import pooled_views
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class ArraySettings:
    """Which arrays are made of an image.

    Attributes:
        kinds: of `scale` (maps of the pyramid), `views` (pooled pyramids of rotated views), `image` (itself);
            maps are made in any case, the control needs them.
        input_type: of the pyramid.
        views: number of rotated views.
    """

    kinds: tuple[str, ...] = ("scale",)
    input_type: str = "multifeature"
    views: int = 8

    def __post_init__(self) -> None:
        if self.views < 1:
            raise EndlineError(f"views={self.views} must be at least 1: a view is the image rotated.")


def image_arrays(images: Tensor, backbone: Backbone, settings: ArraySettings) -> Batch:
    """Arrays of images (n, 1 or 3, H, W) in [0, 1]; grey ones become `image` arrays of three equal channels."""
    maps = pyramid(images, backbone, settings.input_type)
    arrays = dict(maps)
    if "views" in settings.kinds:
        arrays["views"] = pooled_views(images, backbone, settings.input_type, settings.views, maps)
    if "image" in settings.kinds:
        arrays["image"] = images.expand(-1, 3, -1, -1)
    return arrays


def check_size(size: tuple[int, int], backbone: Backbone, input_type: str) -> None:
    """Tell before anything is read that an image size (height, width) does not suit the pyramid.

    Raises:
        EndlineError: as `pyramid`.
    """
    pyramid(torch.zeros(1, 1, *size), backbone, input_type)


def described(settings: ArraySettings, backbone: Backbone) -> dict[str, object]:
    """What of settings and backbone decides the arrays, for the content key."""
    kinds: Collection[str] = sorted({"scale", *settings.kinds})
    views = settings.views if "views" in kinds else None
    return {
        "kinds": kinds,
        "input_type": settings.input_type,
        "views": views,
        "backbone": backbone.name,
        "weights": backbone.digest,
    }
