"""Wide 3 x 3 convolutions with a quarter of the multiplications, by the minimal filtering of Winograd.

A tile of 4 x 4 outputs takes 6 x 6 multiplications a pair of channels instead of 144. What is left is one matrix
product for each of the 36 points, which pays where the channels are many.

References:
    Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016.
"""

import ctypes
import sys
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

FINITE = np.array([0.0, 1.0, -1.0, 2.0, -2.0])  # points of evaluation, beside infinity
KERNEL, TILE, POINTS = 3, 4, 6
NARROW, PAIRS = 128, 2**16  # channels of the narrower side, and pairs of channels, from which it is faster


class WideConv2d(nn.Conv2d):
    """A convolution as torch's own, with its parameters; Winograd's where it is wide, 3 x 3, and keeps the maps' size.

    In float32 the two differ by rounding, some 1e-5 of the largest value. The fast way has first derivatives only.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Maps (batch, out_channels, H', W') of maps (batch, in_channels, H, W)."""
        if not self._is_wide:
            return super().forward(input)
        _keep_freed_memory()
        if self.padding_mode == "zeros":
            out: Tensor = _Winograd.apply(input, self.weight)
        else:  # one more row of outputs around, which goes again
            out = _Winograd.apply(functional.pad(input, (1, 1, 1, 1), self.padding_mode), self.weight)[..., 1:-1, 1:-1]
        return out if self.bias is None else out + self.bias[:, None, None]

    @property
    def _is_wide(self) -> bool:
        same = self.kernel_size == (KERNEL, KERNEL) and self.padding == (1, 1)
        padded = self.padding_mode in ("zeros", "replicate")
        plain = self.stride == (1, 1) and self.dilation == (1, 1) and self.groups == 1
        wide = min(self.in_channels, self.out_channels) >= NARROW and self.in_channels * self.out_channels >= PAIRS
        return same and padded and plain and wide


class _Winograd(torch.autograd.Function):
    """Zero-padded convolution of maps (batch, C, H, W) with kernels (K, C, 3, 3); the sizes of the maps stay."""

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
            _weight_gradient(x, grad) if ctx.needs_input_grad[1] else None,
        )


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    samples, _, height, width = x.shape
    outputs = len(weight)
    kernels = _transform("kernel", x.dtype) @ weight.permute(2, 3, 0, 1).reshape(KERNEL**2, -1)
    products = _points(x) @ kernels.view(POINTS**2, outputs, -1).transpose(1, 2)
    tiles = _transform("output", x.dtype) @ products.view(POINTS**2, -1)
    rows, columns = -(-height // TILE), -(-width // TILE)
    maps = tiles.view(TILE, TILE, samples, rows, columns, outputs).permute(2, 3, 0, 4, 1, 5)
    return maps.reshape(samples, rows * TILE, columns * TILE, outputs)[:, :height, :width].permute(0, 3, 1, 2)


def _weight_gradient(x: Tensor, grad: Tensor) -> Tensor:
    samples, outputs, height, width = grad.shape
    whole = functional.pad(grad.permute(0, 2, 3, 1), (0, 0, 0, -width % TILE, 0, -height % TILE))
    rows, columns = whole.shape[1] // TILE, whole.shape[2] // TILE
    tiles = whole.reshape(samples, rows, TILE, columns, TILE, outputs).permute(2, 4, 0, 1, 3, 5)
    slopes = _transform("output", x.dtype).T @ tiles.reshape(TILE**2, -1)
    kernels = slopes.view(POINTS**2, -1, outputs).transpose(1, 2) @ _points(x)
    weight = _transform("kernel", x.dtype).T @ kernels.view(POINTS**2, -1)
    return weight.view(KERNEL, KERNEL, outputs, -1).permute(2, 3, 0, 1)


def _points(x: Tensor) -> Tensor:
    """Transformed overlapping tiles of zero-padded maps, (36, tiles, channels)."""
    channels, height, width = x.shape[1:]
    padded = functional.pad(x.permute(0, 2, 3, 1), (0, 0, 1, -width % TILE + 1, 1, -height % TILE + 1))
    tiles = padded.unfold(1, POINTS, TILE).unfold(2, POINTS, TILE).permute(4, 5, 0, 1, 2, 3)
    return (_transform("input", x.dtype) @ tiles.reshape(POINTS**2, -1)).view(POINTS**2, -1, channels)


@cache
def _transform(kind: str, dtype: torch.dtype) -> Tensor:
    """Matrix that takes a flattened square to its transform: `input`, `kernel`, or `output`.

    In one dimension, with the finite points a_i: a kernel is evaluated at the points and divided by the product of
    the point's distances to the others; an input meets the coefficients of the polynomials that vanish at all other
    points; an output is the sum of the powers of the points. In two dimensions their Kronecker squares act.
    """
    others = [np.delete(FINITE, i) for i in range(len(FINITE))]
    if kind == "input":
        line = np.zeros((POINTS, POINTS))
        line[:-1, :-1] = [np.poly(points)[::-1] for points in others]
        line[-1] = np.poly(FINITE)[::-1]
    elif kind == "kernel":
        distances = np.array([np.prod(a - points) for a, points in zip(FINITE, others, strict=True)])
        line = np.vstack([np.vander(FINITE, KERNEL, increasing=True) / distances[:, None], np.eye(KERNEL)[-1]])
    else:
        line = np.hstack([np.vander(FINITE, TILE, increasing=True).T, np.eye(TILE)[:, -1:]])
    return torch.from_numpy(np.kron(line, line)).to(dtype)


@cache
def _keep_freed_memory() -> None:
    """Let the C library keep freed memory for the next step instead of giving it back to the system.

    The transformed maps are large; touching fresh pages for each of them costs as much as their products do.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # glibc; others do as they do
        for option, value in ((-4, 0), (-1, 2**31 - 1), (-2, 2**28)):  # M_MMAP_MAX, M_TRIM_THRESHOLD, M_TOP_PAD
            mallopt(option, value)
