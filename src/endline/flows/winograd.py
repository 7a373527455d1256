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

from endline.flows.memory import keep_freed_memory

TILES = {3: 4, 5: 3}  # side of a tile of outputs, by the side of the kernel; larger ones lose digits
FINITE = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5)  # points of evaluation in the order of their use, beside infinity
NARROW, PAIRS = 128, 2**16  # channels of the narrower side, and pairs of channels, from which it is faster


class WideConv2d(nn.Conv2d):
    """A convolution as torch's own, with its parameters; Winograd's where it is wide and keeps the maps' size.

    In float32 the two differ by rounding, some 1e-5 of the largest value. The fast way has first derivatives only.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps (batch, out_channels, H', W') of maps (batch, in_channels, H, W)."""
        if not self._is_wide:
            return super().forward(input)
        keep_freed_memory()
        if self.padding_mode == "zeros":
            out: Tensor = _Winograd.apply(input, self.weight)
        else:  # more outputs around, which go again
            border = self.kernel_size[0] // 2
            inside = slice(border, -border)
            padded = functional.pad(input, (border,) * 4, self.padding_mode)
            out = _Winograd.apply(padded, self.weight)[..., inside, inside]
        return out if self.bias is None else out + self.bias[:, None, None]

    @property
    def _is_wide(self) -> bool:
        side = self.kernel_size[0]
        same = side in TILES and self.kernel_size == (side, side) and self.padding == (side // 2, side // 2)
        padded = self.padding_mode in ("zeros", "replicate")
        plain = self.stride == (1, 1) and self.dilation == (1, 1) and self.groups == 1
        wide = min(self.in_channels, self.out_channels) >= NARROW and self.in_channels * self.out_channels >= PAIRS
        return same and padded and plain and wide


class _Winograd(torch.autograd.Function):
    """Zero-padded convolution of maps (batch, C, H, W) with kernels (K, C, r, r); the sizes of the maps stay."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        return (
            _convolve(grad, weight.flip(2, 3).transpose(0, 1)) if ctx.needs_input_grad[0] else None,
            _weight_gradient(x, grad, weight.shape[2]) if ctx.needs_input_grad[1] else None,
        )


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    (samples, _, height, width), (outputs, _, side, _) = x.shape, weight.shape
    tile = TILES[side]
    kernels = _transform("kernel", side, x.dtype) @ weight.permute(2, 3, 0, 1).reshape(side**2, -1)
    products = _points(x, side) @ kernels.view(len(kernels), outputs, -1).transpose(1, 2)
    tiles = _transform("output", side, x.dtype) @ products.view(len(products), -1)
    rows, columns = -(-height // tile), -(-width // tile)
    maps = tiles.view(tile, tile, samples, rows, columns, outputs).permute(2, 3, 0, 4, 1, 5)
    return maps.reshape(samples, rows * tile, columns * tile, outputs)[:, :height, :width].permute(0, 3, 1, 2)


def _weight_gradient(x: Tensor, grad: Tensor, side: int) -> Tensor:
    samples, outputs, height, width = grad.shape
    tile = TILES[side]
    whole = functional.pad(grad.permute(0, 2, 3, 1), (0, 0, 0, -width % tile, 0, -height % tile))
    rows, columns = whole.shape[1] // tile, whole.shape[2] // tile
    tiles = whole.reshape(samples, rows, tile, columns, tile, outputs).permute(2, 4, 0, 1, 3, 5)
    slopes = _transform("output", side, x.dtype).T @ tiles.reshape(tile**2, -1)
    kernels = slopes.view(len(slopes), -1, outputs).transpose(1, 2) @ _points(x, side)
    weight = _transform("kernel", side, x.dtype).T @ kernels.view(len(kernels), -1)
    return weight.view(side, side, outputs, -1).permute(2, 3, 0, 1)


def _points(x: Tensor, side: int) -> Tensor:
    """Transformed overlapping tiles of zero-padded maps, (points, tiles, channels)."""
    channels, height, width = x.shape[1:]
    tile, pad = TILES[side], side // 2
    count = tile + side - 1
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, pad, -width % tile + pad, pad, -height % tile + pad))
    tiles = padded.unfold(1, count, tile).unfold(2, count, tile).permute(4, 5, 0, 1, 2, 3)
    return (_transform("input", side, x.dtype) @ tiles.reshape(count**2, -1)).view(count**2, -1, channels)


@cache
def _transform(kind: str, side: int, dtype: torch.dtype) -> Tensor:
    """Matrix that takes a flattened square to its transform: `input`, `kernel` of this side, or `output`.

    In one dimension, with the finite points a_i: a kernel is evaluated at the points and divided by the product of
    the point's distances to the others; an input meets the coefficients of the polynomials that vanish at all other
    points; an output is the sum of the powers of the points. In two dimensions their Kronecker squares act.
    """
    tile = TILES[side]
    finite = np.array(FINITE[: tile + side - 2])
    others = [np.delete(finite, i) for i in range(len(finite))]
    if kind == "input":
        line = np.zeros((len(finite) + 1, len(finite) + 1))
        line[:-1, :-1] = [np.poly(points)[::-1] for points in others]
        line[-1] = np.poly(finite)[::-1]
    elif kind == "kernel":
        distances = np.array([np.prod(a - points) for a, points in zip(finite, others, strict=True)])
        line = np.vstack([np.vander(finite, side, increasing=True) / distances[:, None], np.eye(side)[-1]])
    else:
        line = np.hstack([np.vander(finite, tile, increasing=True).T, np.eye(tile)[:, -1:]])
    return torch.from_numpy(np.kron(line, line)).to(dtype)
