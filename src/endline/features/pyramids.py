"""The three input types of the hybrid hierarchical flow: which maps of which image sizes make a sample."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from endline.errors import EndlineError
from endline.features.backbones import Backbone


def multiscale(images: Tensor, backbone: Backbone) -> dict[str, Tensor]:
    """Images at 1, 1/2 and 1/4, one layer each: the input of CS-Flow (paper 000, section 5.2.1).

    The paper does not name the layer; stride 16 gives maps of the sizes of the hybrid type.
    """
    return {f"scale_{scale}": backbone(_shrink(images, 2**scale))[16] for scale in range(3)}


def multifeature(images: Tensor, backbone: Backbone) -> dict[str, Tensor]:
    """One image, the layers of stride 8, 16 and 32 (paper 000, section 5.2.1)."""
    maps = backbone(images)
    return {"scale_0": maps[8], "scale_1": maps[16], "scale_2": maps[32]}


def hybrid(images: Tensor, backbone: Backbone) -> dict[str, Tensor]:
    """Image and its half, strides 16 and 32 each; maps of equal size are joined (paper 000, section 3.1)."""
    full, half = backbone(images), backbone(_shrink(images, 2))
    return {
        "scale_0": full[16],
        "scale_1": torch.cat([full[32], half[16]], dim=1),
        "scale_2": half[32],
    }


INPUT_TYPES: Mapping[str, Callable[[Tensor, Backbone], dict[str, Tensor]]] = {
    "multiscale": multiscale,
    "multifeature": multifeature,
    "hybrid": hybrid,
}


def pyramid(images: Tensor, backbone: Backbone, input_type: str) -> dict[str, Tensor]:
    """Feature maps {scale_0, scale_1, scale_2: (n, C, H, W)}, finest first, of images (n, 1 or 3, H, W).

    Images are in [0, 1]; H and W are multiples of 64 (128 for ``multiscale``).
    Raises EndlineError for an unknown input type or another size.
    """
    if input_type not in INPUT_TYPES:
        raise EndlineError(f"Unknown input type {input_type!r}: choose one of {', '.join(INPUT_TYPES)}.")
    multiple, (height, width) = 128 if input_type == "multiscale" else 64, images.shape[-2:]
    if min(height, width) == 0 or height % multiple or width % multiple:
        raise EndlineError(
            f"An image of {height} x {width} does not halve evenly: for input_type={input_type} choose a height and "
            f"width that are multiples of {multiple}, as in the published 256 x 384."
        )
    return INPUT_TYPES[input_type](images, backbone)


def _shrink(images: Tensor, factor: int) -> Tensor:
    """(n, C, H, W) to (n, C, H / factor, W / factor), antialiased."""
    if factor == 1:
        return images
    size = (images.shape[-2] // factor, images.shape[-1] // factor)
    return interpolate(images, size=size, mode="bilinear", antialias=True)
