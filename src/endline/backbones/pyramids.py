"""Feature pyramids: which maps of which image sizes make a sample."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from endline.backbones.networks import Backbone
from endline.errors import EndlineError

MapKey = tuple[int, int]
"""A map of a backbone: by which factor the image was made smaller, and the map's stride."""


@dataclass(frozen=True)
class InputType:
    """Image sizes and strides of a pyramid.

    Attributes:
        factors: by how much the image is made smaller, 1 = as it is; one pass of the backbone each.
        strides: strides of the backbone's maps that are taken of each size.

    Example:
        >>> InputType(factors=(1, 2), strides=(16, 32)).multiple
        64
    """

    factors: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def multiple(self) -> int:
        """Height and width of an image must be multiples of this, so that every map halves evenly."""
        return max(self.factors) * max(32, *self.strides)


# The first three: Lee et al. 2023, sections 3.1 and 5.2.1. They do not name the layer of multiscale: stride 16 gives
# maps of the sizes of hybrid.
INPUT_TYPES: Mapping[str, InputType] = {
    "multiscale": InputType((1, 2, 4), (16,)),
    "multifeature": InputType((1,), (8, 16, 32)),
    "hybrid": InputType((1, 2), (16, 32)),
    "cross_scale": InputType((1, 2, 4), (32,)),  # CS-Flow (Rudolph 2024, section 5.2)
    "hybrid_cross_scale": InputType((1, 2, 4), (16, 32)),  # ours: both strides of all three sizes
    "single": InputType((1,), (32,)),  # AST (Rudolph 2024, section 6.3)
}


@dataclass(frozen=True)
class PyramidSettings:
    """How feature maps are made of an image: stated once, by the preparation of a station.

    Attributes:
        backbone: name of the frozen network, a key of `networks.ARCHITECTURES`.
        weights: path or torchvision name of its weights; None for the packaged ones.
        input_type: key of `INPUT_TYPES`.

    Raises:
        EndlineError: for an unknown input type.

    Example:
        >>> PyramidSettings(input_type="single").backbone
        'efficientnet_lite0'
    """

    backbone: str = "efficientnet_lite0"
    weights: str | None = None
    input_type: str = "multifeature"

    def __post_init__(self) -> None:
        _chosen(self.input_type)


def scale_parts(input_type: str) -> list[tuple[MapKey, ...]]:
    """The maps that make `scale_0`, `scale_1`, ... of a pyramid, finest first; those of one scale are of equal size.

    They are joined over their channels, larger image first.

    Raises:
        EndlineError: for an unknown input type.

    Example:
        >>> scale_parts("hybrid")
        [((1, 16),), ((1, 32), (2, 16)), ((2, 32),)]
    """
    chosen = _chosen(input_type)
    parts: dict[int, list[MapKey]] = {}
    for factor in chosen.factors:
        for stride in chosen.strides:
            parts.setdefault(factor * stride, []).append((factor, stride))
    return [tuple(keys) for _, keys in sorted(parts.items())]


def pyramid_maps(
    images: Tensor, backbone: Backbone, wanted: Collection[MapKey], *, differentiable: bool = False
) -> dict[MapKey, Tensor]:
    """The backbone's maps {(factor, stride): (n, C, H / factor / stride, W / factor / stride)} of images.

    One pass of the backbone for each factor, whatever number of input types share its maps.

    Args:
        images: (n, 1 or 3, H, W) in [0, 1], of a size that `check_size` accepts.
        backbone: the loaded backbone.
        wanted: keys of the maps, as those of `scale_parts`.
        differentiable: let gradients flow back to the images, which is slower and needs far more memory.

    Returns:
        The maps, on the images' device; the backbone computes on its own.
    """
    maps_of = backbone.differentiable if differentiable else backbone
    sized = images.to(backbone.device)  # to be made smaller there
    made = {factor: maps_of(shrink(sized, factor)) for factor in sorted({factor for factor, _ in wanted})}
    return {(factor, stride): made[factor][stride].to(images.device) for factor, stride in wanted}


def check_size(size: Sequence[int], backbone: Backbone, input_type: str) -> None:
    """Refuse an image size (height, width) that does not suit an input type, before anything is computed.

    Raises:
        EndlineError: for an unknown input type, a size that does not halve evenly, or a stride that the backbone
            does not have.
    """
    chosen, (height, width) = _chosen(input_type), size
    if min(height, width) == 0 or height % chosen.multiple or width % chosen.multiple:
        raise EndlineError(
            f"An image of {height} x {width} does not halve evenly: for input_type={input_type} choose a height and "
            f"width that are multiples of {chosen.multiple}, such as 256 x 384."
        )
    if missing := [stride for stride in chosen.strides if stride not in backbone.strides]:
        raise EndlineError(
            f"The backbone {backbone.name} has no map of stride {missing[0]}, which input_type={input_type} takes: "
            "choose another input type or another backbone."
        )


def join_scales(maps: Mapping[MapKey, Tensor], input_type: str) -> dict[str, Tensor]:
    """Pyramid {scale_0, scale_1, ...: (n, C, H, W)}, finest first, of the backbone's maps.

    Raises:
        EndlineError: for an unknown input type.

    Example:
        >>> maps = {(1, 16): torch.zeros(1, 112, 8, 8), (1, 32): torch.zeros(1, 320, 4, 4)}
        >>> maps |= {(2, 16): torch.zeros(1, 112, 4, 4), (2, 32): torch.zeros(1, 320, 2, 2)}
        >>> {name: x.shape[1] for name, x in join_scales(maps, "hybrid").items()}
        {'scale_0': 112, 'scale_1': 432, 'scale_2': 320}
    """
    scales = [[maps[key] for key in keys] for keys in scale_parts(input_type)]
    return {f"scale_{scale}": torch.cat(x, dim=1) if len(x) > 1 else x[0] for scale, x in enumerate(scales)}


def pyramid(images: Tensor, backbone: Backbone, input_type: str, *, differentiable: bool = False) -> dict[str, Tensor]:
    """Feature maps {scale_0, scale_1, ...: (n, C, H, W)}, finest first, of images (n, 1 or 3, H, W).

    Maps of equal size, of several image sizes and strides, are joined over their channels, larger image first.
    Images are in [0, 1]; H and W are multiples of the input type's ``multiple``. ``differentiable`` lets gradients flow
    back to the images, which is slower and needs far more memory.

    Raises:
        EndlineError: for an unknown input type, a size that does not halve evenly, or a stride that the backbone
            does not have.
    """
    check_size(images.shape[-2:], backbone, input_type)
    wanted = [key for keys in scale_parts(input_type) for key in keys]
    return join_scales(pyramid_maps(images, backbone, wanted, differentiable=differentiable), input_type)


def shrink(images: Tensor, factor: int) -> Tensor:
    """(n, C, H, W) to (n, C, H / factor, W / factor), antialiased."""
    if factor == 1:
        return images
    size = (images.shape[-2] // factor, images.shape[-1] // factor)
    return interpolate(images, size=size, mode="bilinear", antialias=True)


def fit_size(images: Tensor, size: int) -> Tensor:
    """Images (n, C, H, W) made smaller until their shorter side is about `size`, antialiased; never larger.

    Both sides become multiples of 32, which every backbone takes, the ratio of sides being kept as well as that allows.
    """
    scale = size / min(images.shape[-2:])
    if scale >= 1:
        return images
    height, width = (max(round(side * scale / 32), 1) * 32 for side in images.shape[-2:])
    return interpolate(images, size=(height, width), mode="bilinear", antialias=True)


def pooled_pyramid(images: Tensor, backbone: Backbone, input_type: str, *, differentiable: bool = False) -> Tensor:
    """`pooled_maps` of the images' `pyramid`."""
    return pooled_maps(pyramid(images, backbone, input_type, differentiable=differentiable))


def pooled_maps(maps: Mapping[str, Tensor]) -> Tensor:
    """Global mean of every map of a pyramid, joined finest first, (n, sum of channels) (DifferNet, section 4.2)."""
    return torch.cat([x.mean((2, 3)) for x in maps.values()], dim=1)


def _chosen(input_type: str) -> InputType:
    if input_type not in INPUT_TYPES:
        raise EndlineError(f"Unknown input type {input_type!r}: choose one of {', '.join(INPUT_TYPES)}.")
    return INPUT_TYPES[input_type]
