"""From images to the arrays that detectors read: the one way for photographs and for mel images."""

from dataclasses import asdict, dataclass, field

from torch import Tensor

from endline.backbones.networks import Backbone
from endline.backbones.pyramids import PyramidSettings, pyramid
from endline.backbones.views import pooled_views
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class ArraySettings:
    """Which arrays are made of an image.

    Attributes:
        pyramid: how feature maps are made.
        arrays: of `scale` (maps of the pyramid), `views` (pooled pyramids of rotated views), `image` (itself); others
            are not made of images alone and left out here.
        views: number of rotated views.

    Raises:
        EndlineError: for less than one view.

    Example:
        >>> ArraySettings(arrays=("views", "image"), views=4).pyramid.input_type
        'multifeature'
    """

    pyramid: PyramidSettings = field(default_factory=PyramidSettings)
    arrays: tuple[str, ...] = ("scale",)
    views: int = 8

    def __post_init__(self) -> None:
        if self.views < 1:
            raise EndlineError(f"views={self.views} must be at least 1: a view is the image rotated.")


def image_arrays(images: Tensor, backbone: Backbone, settings: ArraySettings) -> Batch:
    """Those arrays of images (n, 1 or 3, H, W) in [0, 1] that the settings name, and no others.

    Returns:
        `scale_0, scale_1, ...` (n, C, h, w), `views` (n, views, features), `image` (n, 3, H, W; grey images become
        three equal channels).

    Raises:
        EndlineError: as `pyramid`.
    """
    arrays: Batch = {}
    input_type, maps = settings.pyramid.input_type, None
    if "scale" in settings.arrays:
        maps = pyramid(images, backbone, input_type)
        arrays |= maps
    if "views" in settings.arrays:
        arrays["views"] = pooled_views(images, backbone, input_type, settings.views, maps)
    if "image" in settings.arrays:
        arrays["image"] = images.expand(-1, 3, -1, -1)
    return arrays


def described(settings: ArraySettings, backbone: Backbone) -> dict[str, object]:
    """What of settings and backbone decides the arrays, for the content key."""
    views = settings.views if "views" in settings.arrays else None
    weights = {"weights": backbone.digest}
    return {"arrays": sorted(settings.arrays), "views": views, **asdict(settings.pyramid), **weights}
