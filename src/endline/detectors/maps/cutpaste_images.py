"""The two artificial defects of CutPaste: a patch, or a thin turned scar, of the image itself, in another position."""

import math

import torch
from torch import Tensor

PUBLISHED_SIZE = 256  # pixels of the images that the lengths below were published for
AREA = (0.02, 0.15)  # share of the image
ASPECT = (0.3, 3.3)  # width to height
SCAR_WIDTH = (2.0, 16.0)  # pixels
SCAR_LENGTH = (10.0, 25.0)  # pixels
SCAR_ANGLE = (-45.0, 45.0)  # degrees
JITTER = 0.1  # largest change of brightness, contrast and saturation


def cut_paste(images: Tensor) -> Tensor:
    """Images (n, C, H, W) in [0, 1], in each of which a rectangle was copied elsewhere.

    Area and aspect ratio are drawn as published, the latter evenly in its logarithm, from torch's global generator.

    Example:
        >>> cut_paste(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 3, 32, 32])
    """
    height, width = images.shape[-2:]
    area = between(AREA, images) * height * width
    aspect = between((math.log(ASPECT[0]), math.log(ASPECT[1])), images).exp()
    heights, widths = (area / aspect).sqrt(), (area * aspect).sqrt()
    return paste(images, heights.clamp(max=height), widths.clamp(max=width), torch.zeros_like(area))


def cut_paste_scar(images: Tensor) -> Tensor:
    """Images (n, C, H, W) in [0, 1], in each of which a thin strip was copied elsewhere, turned.

    Width, length and angle are drawn as published, the pixels in proportion to the image's shorter side.
    """
    scale = min(images.shape[-2:]) / PUBLISHED_SIZE
    lengths, widths = between(SCAR_LENGTH, images) * scale, between(SCAR_WIDTH, images) * scale
    return paste(images, lengths.clamp(min=1), widths.clamp(min=1), between(SCAR_ANGLE, images))


def paste(images: Tensor, heights: Tensor, widths: Tensor, angles: Tensor) -> Tensor:
    """Images (n, C, H, W) with a rectangle of their own, recoloured and turned, at positions drawn evenly.

    Args:
        images: in [0, 1].
        heights: of the rectangles in pixels, (n,), at most H.
        widths: in pixels, (n,), at most W.
        angles: in degrees, (n,); corners that then stick out are cut off.
    """
    count, (height, width), device = len(images), images.shape[-2:], images.device
    inside = torch.stack([heights, widths])
    room = torch.tensor([[height], [width]], device=device) - inside
    source, target = (
        torch.rand(2, count, device=device) * room + inside / 2 for _ in range(2)
    )  # centres, (row and column, n)
    rows = (torch.arange(height, device=device) + 0.5)[None, :, None] - target[0, :, None, None]
    columns = (torch.arange(width, device=device) + 0.5)[None, None, :] - target[1, :, None, None]
    turn = torch.deg2rad(angles)[:, None, None]
    down = rows * turn.cos() + columns * turn.sin()  # position within the rectangle, from its centre, (n, H, W)
    right = columns * turn.cos() - rows * turn.sin()
    mask = (down.abs() < heights[:, None, None] / 2) & (right.abs() < widths[:, None, None] / 2)
    from_row = (source[0, :, None, None] + down).floor().long().clamp(0, height - 1)
    from_column = (source[1, :, None, None] + right).floor().long().clamp(0, width - 1)
    index = (from_row * width + from_column).flatten(1)[:, None].expand(-1, images.shape[1], -1)
    moved = images.flatten(2).gather(2, index).view_as(images)
    return torch.where(mask[:, None], recoloured(moved, mask[:, None]), images)


def recoloured(images: Tensor, mask: Tensor) -> Tensor:
    """Images (n, C, H, W) with brightness, contrast and saturation changed by up to a tenth, in [0, 1].

    The published change of hue is left out: it is none on grey images. Contrast is measured within the mask
    (n, 1, H, W).
    """
    brightness, contrast, saturation = (1 + between((-JITTER, JITTER), images)[:, None, None, None] for _ in "bcs")
    images = images * brightness
    mean = (images * mask).sum((1, 2, 3), keepdim=True) / (mask.sum((1, 2, 3), keepdim=True) * images.shape[1] + 1e-6)
    images = mean + contrast * (images - mean)
    grey = images.mean(1, keepdim=True)
    return (grey + saturation * (images - grey)).clamp(0, 1)


def between(bounds: tuple[float, float], images: Tensor) -> Tensor:
    """Values drawn evenly from an interval, one for each image, (n,), on their device."""
    return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(len(images), device=images.device)
