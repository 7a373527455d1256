"""The stored parts that the arrays of an image are joined of, photograph or mel image, and how each is made once."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from torch import Tensor

from endline.array_store import ArrayStore
from endline.backbones.networks import Backbone, load_backbone
from endline.backbones.pyramids import MapKey, PyramidSettings, join_scales, pooled_maps, pyramid_maps, scale_parts
from endline.backbones.views import pooled_view, view_angles
from endline.compute import Compute
from endline.errors import EndlineError
from endline.evidence.station import Arrays
from endline.feature_set import FeatureSet
from endline.files import content_key

IMAGE = "image"
FIRST_VIEW = "view_0"  # the image as it is
IMAGE_ARRAYS = ("scale", "views", IMAGE)


@dataclass(frozen=True)
class ArraySettings:
    """Which arrays are made of an image.

    Attributes:
        pyramid: how feature maps are made.
        arrays: of `scale` (maps of the pyramid), `views` (pooled pyramids of rotated views), `image` (itself).
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


@dataclass(frozen=True)
class ImageParts:
    """Parts `map_<factor>_<stride>`, `view_<angle>` and `image`, each with a content key of its own.

    Maps of the backbone are stored by the size of the image and the stride: input types that share them, and so the
    detectors of a sweep, share them on disk, and an image passes through the backbone once for each size.

    Attributes:
        settings: which arrays are wanted.
        backbone: the loaded backbone.
        evidence: content key of the images: of the raw files, and how they become images.

    Example:
        >>> from endline.backbones.networks import load_backbone
        >>> settings = ArraySettings(PyramidSettings(input_type="hybrid"))
        >>> ImageParts(settings, load_backbone("efficientnet_lite0"), "digests").arrays["scale_1"]
        ('map_1_32', 'map_2_16')
    """

    settings: ArraySettings
    backbone: Backbone
    evidence: str

    @property
    def arrays(self) -> dict[str, tuple[str, ...]]:
        """Array -> the parts that it is joined of over the second axis."""
        wanted: Collection[str] = self.settings.arrays
        joined: dict[str, tuple[str, ...]] = {}
        if "scale" in wanted:
            for number, keys in enumerate(self._scales):
                joined[f"scale_{number}"] = tuple(_map_name(key) for key in keys)
        if "views" in wanted:
            joined["views"] = tuple(_view_name(angle) for angle in view_angles(self.settings.views))
        if IMAGE in wanted:
            joined[IMAGE] = (IMAGE,)
        return joined

    @property
    def keys(self) -> dict[str, str]:
        """Content key of each part."""
        return {part: self.key_of(part) for parts in self.arrays.values() for part in parts}

    def key_of(self, part: str) -> str:
        """Content key of a part."""
        made_by: object = None
        if part != IMAGE:
            made_by = {"backbone": self.backbone.name, "weights": self.backbone.digest}
        if part.startswith("view"):
            made_by = [made_by, self.settings.pyramid.input_type]
        return content_key(self.evidence, part, made_by)

    def stored_maps(self, store: ArrayStore) -> FeatureSet | None:
        """The maps of the input type where all lie in the store: the first view is pooled from them."""
        stored = {_map_name(key): [self.key_of(_map_name(key))] for keys in self._scales for key in keys}
        ready = all(store.has(key) for keys in stored.values() for key in keys)
        return store.open(stored) if ready else None

    def make(
        self, images: Tensor, parts: Collection[str], known: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """The asked parts of images (n, 1 or 3, H, W) in [0, 1], (n, ...) each; a view is (n, 1, features).

        Args:
            images: of one batch.
            parts: names of parts.
            known: maps of these images that were made before, by the names of their parts.
        """
        made: dict[str, Tensor] = {}
        wanted = [key for key in _unique(self._scales) if _map_name(key) in parts]
        maps = pyramid_maps(images, self.backbone, wanted) if wanted else {}
        made |= {_map_name(key): values for key, values in maps.items()}
        for angle in view_angles(self.settings.views):
            if (name := _view_name(angle)) in parts:
                made[name] = self._view(images, angle, {**(known or {}), **made})[:, None]
        if IMAGE in parts:
            made[IMAGE] = images.expand(-1, 3, -1, -1)
        return made

    def _view(self, images: Tensor, angle: float, known: Mapping[str, Tensor]) -> Tensor:
        if angle != 0:
            return pooled_view(images, self.backbone, self.settings.pyramid.input_type, angle)
        names = {key: _map_name(key) for key in _unique(self._scales)}
        if all(name in known for name in names.values()):
            maps = {key: known[name] for key, name in names.items()}
        else:
            maps = pyramid_maps(images, self.backbone, list(names))
        # Rounded as they are stored: the view is the same whether its maps are made now or lay in the store.
        rounded = {key: values.half().float() for key, values in maps.items()}
        return pooled_maps(join_scales(rounded, self.settings.pyramid.input_type))

    @property
    def _scales(self) -> list[tuple[MapKey, ...]]:
        return scale_parts(self.settings.pyramid.input_type)


@lru_cache(maxsize=2)
def kept_backbone(name: str, weights: str | None, compute: Compute) -> Backbone:
    """A backbone that stays loaded, so that inspecting file after file loads it once; arguments as `load_backbone`."""
    return load_backbone(name, weights, compute)


def array_settings(plain: Mapping[str, Any]) -> ArraySettings:
    """Array settings as `dataclasses.asdict` wrote them, or JSON gave them back."""
    return ArraySettings(PyramidSettings(**plain["pyramid"]), tuple(plain["arrays"]), plain["views"])


def wanted_arrays(parameters: Mapping[str, Any], wanted: Arrays) -> ArraySettings:
    """Array settings of a run: what its detector reads, made as the parameters `<station>.preparation` say.

    Args:
        parameters: `backbone`, `weights`, `input_type` (`auto`: the one that the detector prefers) and `views`.
        wanted: arrays that the detector reads; those that are not made of images are left out.
    """
    preferred = wanted.input_type if parameters["input_type"] == "auto" else parameters["input_type"]
    pyramid = PyramidSettings(parameters["backbone"], parameters["weights"], preferred)
    arrays = tuple(name for name in IMAGE_ARRAYS if name in (*wanted.required, *wanted.optional))
    return ArraySettings(pyramid, arrays, parameters["views"])


def _map_name(key: MapKey) -> str:
    return f"map_{key[0]}_{key[1]}"


def _view_name(angle: float) -> str:
    return f"view_{angle:g}"


def _unique(scales: list[tuple[MapKey, ...]]) -> list[MapKey]:
    return [key for keys in scales for key in keys]
