"""Feature pyramids: which maps of which image sizes make a sample."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from endline.backbones.networks import Backbone
from endline.errors import EndlineError


@dataclass(frozen=True)
class InputType:
    """Image sizes and strides of a pyramid.

    Attributes:
        factors: by how much the image is made smaller, 1 = as it is; one pass of the backbone each.
        strides: strides of the backbone's maps that are taken of every size.
    """

    factors: tuple[int, ...]
    strides: tuple[int, ...]

    @property
    def multiple(self) -> int:
        """Height and width of an image must be multiples of this, so that every map halves evenly."""
        return max(max(self.factors) * 32, max(self.factors) * max(self.strides))


# The first three are those of paper 000, sections 3.1 and 5.2.1; it does not name the layer of multiscale: stride 16
# gives maps of the sizes of hybrid.
INPUT_TYPES: Mapping[str, InputType] = {
    "multiscale": InputType((1, 2, 4), (16,)),
    "multifeature": InputType((1,), (8, 16, 32)),
    "hybrid": InputType((1, 2), (16, 32)),
    "cross_scale": InputType((1, 2, 4), (32,)),  # CS-Flow (Rudolph 2024, section 5.2)
    "hybrid_cross_scale": InputType((1, 2, 4), (16, 32)),  # ours: both strides of all three sizes
    "single": InputType((1,), (32,)),  # AST (Rudolph 2024, section 6.3)
}


def pyramid(images: Tensor, backbone: Backbone, input_type: str, *, differentiable: bool = False) -> dict[str, Tensor]:
    """Feature maps {scale_0, scale_1, ...: (n, C, H, W)}, finest first, of images (n, 1 or 3, H, W).

    Maps of equal size, of several image sizes and strides, are joined over their channels, larger image first.
    Images are in [0, 1]; H and W are multiples of the input type's ``multiple``. ``differentiable`` lets gradients flow
    back to the images, which is slower and needs far more memory.

    Raises:
        EndlineError: for an unknown input type, a size that does not halve evenly, or a stride that the backbone
            does not have.
    """
    if input_type not in INPUT_TYPES:
        raise EndlineError(f"Unknown input type {input_type!r}: choose one of {', '.join(INPUT_TYPES)}.")
    chosen, (height, width) = INPUT_TYPES[input_type], images.shape[-2:]
    if min(height, width) == 0 or height % chosen.multiple or width % chosen.multiple:
        raise EndlineError(
            f"An image of {height} x {width} does not halve evenly: for input_type={input_type} choose a height and "
            f"width that are multiples of {chosen.multiple}, such as 256 x 384."
        )
    if missing := [stride for stride in chosen.strides if stride not in backbone.strides]:
        raise EndlineError(
            f"The backbone {backbone.name} has no map of stride {missing[0]}, which input_type={input_type} takes: "
            f"choose another input type or another backbone."
        )
    maps_of = backbone.differentiable if differentiable else backbone
    joined: dict[int, list[Tensor]] = {}
    for factor in chosen.factors:
        maps = maps_of(shrink(images, factor))
        for stride in chosen.strides:
            joined.setdefault(factor * stride, []).append(maps[stride])
    ordered = [torch.cat(maps, dim=1) if len(maps) > 1 else maps[0] for _, maps in sorted(joined.items())]
    return {f"scale_{scale}": maps for scale, maps in enumerate(ordered)}


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
