"""Wide convolutions with a quarter of the multiplications, by the minimal filtering of Winograd.

A tile of m x m outputs of an r x r kernel takes n x n multiplications a pair of channels, n = m + r - 1, instead of
(m r) x (m r): 36 instead of 144 for 3 x 3, 49 instead of 225 for 5 x 5. What is left is one matrix product for each of
the n x n points, which pays where the channels are many.

References:
    Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

TILES = {3: 4, 5: 3}  # side of a tile of outputs, by the side of the kernel; larger ones lose digits
FINITE = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5)  # points of evaluation in the order of their use, beside infinity
NARROW, PAIRS = 128, 2**16  # channels of the narrower side, and pairs of channels, from which it is faster


class WideConv2d(nn.Conv2d):
    """A convolution as torch's own, with its parameters; Winograd's where it is wide and keeps the maps' size.

    In float32 the two differ by rounding, some 1e-5 of the largest value. Winograd's has first derivatives only.

    Example:
        >>> wide = WideConv2d(256, 256, 3, padding=1)
        >>> wide.takes_winograd(torch.zeros(1, 256, 24, 24))
        True
        >>> wide.takes_winograd(torch.zeros(1, 256, 24, 24, dtype=torch.bfloat16))
        False
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps (batch, out_channels, H', W') of maps (batch, in_channels, H, W)."""
        if not self.takes_winograd(input):
            return super().forward(input)
        border = self.kernel_size[0] // 2
        if self.padding_mode != "zeros":
            input, border = functional.pad(input, (border,) * 4, self.padding_mode), 0
        out: Tensor = _Winograd.apply(input, self.weight, border)
        return out if self.bias is None else out + self.bias[:, None, None]

    def takes_winograd(self, input: Tensor) -> bool:
        """The one switch: wide convolutions in full precision on a CPU; libraries of GPUs choose for themselves."""
        if input.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
            return False
        return self.is_wide and input.dtype in (torch.float32, torch.float64)

    @property
    def is_wide(self) -> bool:
        """Whether channels, kernel and borders are such that Winograd's way is faster on a CPU."""
        side = self.kernel_size[0]
        same = side in TILES and self.kernel_size == (side, side) and self.padding == (side // 2, side // 2)
        padded = self.padding_mode in ("zeros", "replicate")
        plain = self.stride == (1, 1) and self.dilation == (1, 1) and self.groups == 1
        wide = min(self.in_channels, self.out_channels) >= NARROW and self.in_channels * self.out_channels >= PAIRS
        return same and padded and plain and wide


class _Winograd(torch.autograd.Function):
    """Convolution of maps (batch, C, H, W), with a border of zeros around, with kernels (K, C, r, r).

    Backward goes forward's steps transposed, so that one transform of the slopes serves both gradients.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, border: int) -> Tensor:
        (samples, _, *sizes), (outputs, _, side, _) = x.shape, weight.shape
        tile = TILES[side]
        height, width = (size + 2 * border - side + 1 for size in sizes)
        rows, columns = -(-height // tile), -(-width // tile)
        products = _points(x, side, border, rows, columns) @ _kernels(weight).transpose(1, 2)
        tiles = _transform("output", side, x.dtype, x.device) @ products.view(len(products), -1)
        maps = tiles.view(tile, tile, samples, rows, columns, outputs).permute(2, 3, 0, 4, 1, 5)
        ctx.save_for_backward(x, weight)
        ctx.sizes = (border, rows, columns)
        return maps.reshape(samples, rows * tile, columns * tile, outputs)[:, :height, :width].permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        border, rows, columns = ctx.sizes
        (samples, outputs, height, width), (_, channels, side, _) = grad.shape, weight.shape
        tile = TILES[side]
        whole = functional.pad(grad.permute(0, 2, 3, 1), (0, 0, 0, columns * tile - width, 0, rows * tile - height))
        tiles = whole.reshape(samples, rows, tile, columns, tile, outputs).permute(2, 4, 0, 1, 3, 5)
        slopes = _transform("output", side, grad.dtype, grad.device).T @ tiles.reshape(tile**2, -1)
        slopes = slopes.view(len(slopes), -1, outputs)
        x_slope = weight_slope = None
        if ctx.needs_input_grad[0]:
            points = (slopes @ _kernels(weight)).view(len(slopes), -1)
            pieces = _transform("input", side, grad.dtype, grad.device).T @ points
            maps = _overlapped(pieces.view(-1, tile + side - 1, samples, rows, columns, channels), tile)
            x_slope = maps[:, border:, border:][:, : x.shape[2], : x.shape[3]].permute(0, 3, 1, 2)
        if ctx.needs_input_grad[1]:
            kernels = slopes.transpose(1, 2) @ _points(x, side, border, rows, columns)
            of_taps = _transform("kernel", side, grad.dtype, grad.device).T @ kernels.view(len(kernels), -1)
            weight_slope = of_taps.view(side, side, outputs, channels).permute(2, 3, 0, 1)
        return x_slope, weight_slope, None


def _kernels(weight: Tensor) -> Tensor:
    """Transformed kernels, (points, K, C)."""
    outputs, channels, side, _ = weight.shape
    transform = _transform("kernel", side, weight.dtype, weight.device)
    return (transform @ weight.permute(2, 3, 0, 1).reshape(side**2, -1)).view(-1, outputs, channels)


def _points(x: Tensor, side: int, border: int, rows: int, columns: int) -> Tensor:
    """Transformed overlapping tiles of maps with a border of zeros, (points, tiles, channels)."""
    channels, height, width = x.shape[1:]
    tile = TILES[side]
    count = tile + side - 1
    below, right = rows * tile + side - 1 - border - height, columns * tile + side - 1 - border - width
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, border, right, border, below))
    tiles = padded.unfold(1, count, tile).unfold(2, count, tile).permute(4, 5, 0, 1, 2, 3)
    return (_transform("input", side, x.dtype, x.device) @ tiles.reshape(count**2, -1)).view(count**2, -1, channels)


def _overlapped(pieces: Tensor, tile: int) -> Tensor:
    """Sum of tiles (side, side, samples, rows, columns, channels) laid `tile` apart: (samples, H, W, channels)."""
    side, _, samples, rows, columns, channels = pieces.shape
    reach = -(-side // tile)
    maps = pieces.new_zeros(samples, rows + reach - 1, tile, columns + reach - 1, tile, channels)
    for down in range(reach):
        for right in range(reach):
            piece = pieces[down * tile :, right * tile :][:tile, :tile].permute(2, 3, 0, 4, 1, 5)
            maps[:, down : down + rows, : piece.shape[2], right : right + columns, : piece.shape[4]] += piece
    return maps.flatten(3, 4).flatten(1, 2)


@cache
def _transform(role: str, side: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Matrix that takes a flattened square to its transform: `input`, `kernel` of this side, or `output`.

    In one dimension, with the finite points a_i: a kernel is evaluated at the points and divided by the product of
    the point's distances to the others; an input meets the coefficients of the polynomials that vanish at all other
    points; an output is the sum of the powers of the points. In two dimensions their Kronecker squares act.
    """
    tile = TILES[side]
    finite = np.array(FINITE[: tile + side - 2])
    others = [np.delete(finite, i) for i in range(len(finite))]
    if role == "input":
        line = np.zeros((len(finite) + 1, len(finite) + 1))
        line[:-1, :-1] = [np.poly(points)[::-1] for points in others]
        line[-1] = np.poly(finite)[::-1]
    elif role == "kernel":
        distances = np.array([np.prod(a - points) for a, points in zip(finite, others, strict=True)])
        line = np.vstack([np.vander(finite, side, increasing=True) / distances[:, None], np.eye(side)[-1]])
    else:
        line = np.hstack([np.vander(finite, tile, increasing=True).T, np.eye(tile)[:, -1:]])
    return torch.from_numpy(np.kron(line, line)).to(device, dtype)
