"""Convolution along time with a long kernel, as products in the frequency domain of short overlapping tiles.

A kernel of 13 steps costs 13 multiplications an output and channel; in tiles of 40 steps, of which 28 are new, the
products of spectra cost 6, and as matrix products they run at full speed. The discrete Fourier transforms, so short,
are matrix products too. Everything is exact up to rounding: the same mathematics as `nn.Conv1d`.

What comes out stays in tiles, (new steps, channels, places), where it is a matrix for every step of a tile: layers
that see single steps go on there as plain matrix products, and `steps_of` puts the steps in their order at the end.
"""

import math
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from endline.flows.memory import keep_freed_memory

LARGE = 2048  # pairs of channels from which tensors are so large that fresh memory for each costs time


class LongConv1d(nn.Conv1d):
    """`nn.Conv1d` with an odd kernel, whose borders are replicated, so that the steps stay as many.

    Args:
        inputs, outputs: channels.
        kernel: odd length.
        dilation: distance of the steps that the kernel sees.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int = 1) -> None:
        super().__init__(inputs, outputs, kernel, dilation=dilation)
        self._kept: tuple[object, Tensor] | None = None

    def train(self, mode: bool = True) -> Self:
        """As any module; the kernels' spectra that evaluation has kept are made anew."""
        self._kept = None
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, outputs, steps) of x (batch, inputs, steps)."""
        return steps_of(self.tiles(x), len(x), self.dilation[0], x.shape[-1])

    def tiles(self, x: Tensor, *, rectify: bool = False) -> Tensor:
        """Outputs in tiles, (new steps, outputs, places), see `steps_of`; with `rectify` their ReLU."""
        if self.in_channels * self.out_channels >= LARGE:
            keep_freed_memory()
        (kernel,), (dilation,) = self.kernel_size, self.dilation
        reach = kernel // 2 * dilation
        new = len(_transforms(kernel, x.dtype)[2]) * dilation
        padded = functional.pad(x, (reach, reach + -x.shape[-1] % new), mode="replicate")  # tiles are whole
        found: Tensor = _TiledConvolution.apply(padded, self.weight, self.bias, self._spectra(), dilation, rectify)
        return found

    def _spectra(self) -> Tensor:
        """`_kernels` of the weight; in evaluation they are kept while the weight stays what it is."""
        weight = self.weight.detach()
        if self.training:
            return _kernels(weight)
        state = (weight.data_ptr(), weight._version, weight.dtype)
        if self._kept is None or self._kept[0] != state:
            self._kept = (state, _kernels(weight))
        return self._kept[1]


def steps_of(tiles: Tensor, batch: int, dilation: int, steps: int) -> Tensor:
    """Tiles (new steps, channels, places) as (batch, channels, steps).

    A place is a sample, a phase of the dilation and a tile, the last fastest; steps beyond the last are dropped.
    """
    new, channels, _ = tiles.shape
    ordered = tiles.view(new, channels, batch, dilation, -1).permute(2, 1, 4, 0, 3)
    return ordered.reshape(batch, channels, -1)[..., :steps]


@cache
def _transforms(kernel: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices of tiles of n steps, s of which are new, with f frequencies, real and imaginary parts one by one.

    Returns:
        of a tile (2 f, n), of the kernel, conjugate (2 f, kernel), and back to the new steps (s, 2 f).
    """
    tile = 2 * math.ceil(1.5 * kernel)  # the best of several on two cores, for 7 to 31 steps
    frequencies = tile // 2 + 1
    angles = 2 * math.pi * torch.outer(torch.arange(frequencies).double(), torch.arange(tile).double()) / tile
    forward = torch.stack([angles.cos(), -angles.sin()], 1).flatten(0, 1)
    weights = torch.full((frequencies, 1, 1), 2 / tile, dtype=torch.float64)
    weights[0] = weights[-1] = 1 / tile
    back = (forward.view(frequencies, 2, tile) * weights).flatten(0, 1)[:, : tile - kernel + 1]
    conjugate = torch.stack([angles.cos(), angles.sin()], 1).flatten(0, 1)[:, :kernel]
    return forward.to(dtype), conjugate.contiguous().to(dtype), back.T.contiguous().to(dtype)


class _TiledConvolution(torch.autograd.Function):
    """Valid convolution, in tiles, of padded x (batch, inputs, steps + (kernel - 1) dilation), steps of whole tiles."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, kernels: Tensor, dilation: int, rectify: bool
    ) -> Tensor:
        batch, inputs, padded = x.shape
        outputs, _, kernel = weight.shape
        to, _, back = _transforms(kernel, x.dtype)
        tile, new = to.shape[1], back.shape[0]
        tiles = (padded // dilation - kernel + 1) // new
        # Steps of a tile, inputs, sample, phase of the dilation, tile.
        strides = (dilation, x.stride(1), x.stride(0), 1, new * dilation)
        seen = x.as_strided((tile, inputs, batch, dilation, tiles), strides)
        spectra = (to @ seen.reshape(tile, -1)).view(-1, 2 * inputs, batch * dilation * tiles)
        products = torch.bmm(kernels, spectra).view(len(to), -1)
        found = torch.mm(back, products).view(new, outputs, -1).add_(bias[:, None])
        if rectify:
            found.relu_()
        ctx.save_for_backward(spectra, kernels, found if rectify else None)
        ctx.sizes = (batch, inputs, padded, outputs, kernel, tiles, dilation)
        return found

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None, None]:
        spectra, kernels, rectified = ctx.saved_tensors
        batch, inputs, padded, outputs, kernel, tiles, dilation = ctx.sizes
        (slope,) = slopes
        to, conjugate, back = _transforms(kernel, slope.dtype)
        tile, new = to.shape[1], back.shape[0]
        if rectified is not None:
            slope = torch.ops.aten.threshold_backward(slope, rectified, 0)
        bias_slope = slope.sum((0, 2))
        products = (back.T @ slope.reshape(new, -1)).view(-1, 2 * outputs, batch * dilation * tiles)
        weight_slope = _kernel_slopes(torch.bmm(products, spectra.transpose(1, 2)), conjugate)
        if not ctx.needs_input_grad[0]:
            return None, weight_slope, bias_slope, None, None, None
        back_spectra = torch.bmm(kernels.transpose(1, 2), products).view(len(to), -1)
        pieces = (to.T @ back_spectra).view(tile, inputs, batch, dilation, tiles)
        # Neighbouring tiles overlap: what lies beyond the new steps belongs to the next tile.
        x_slope = slope.new_zeros(batch, inputs, tiles + 1, new, dilation)
        x_slope[:, :, :-1] = pieces[:new].permute(2, 1, 4, 0, 3)
        x_slope[:, :, 1:, : tile - new] += pieces[new:].permute(2, 1, 4, 0, 3)
        return x_slope.flatten(2)[..., :padded], weight_slope, bias_slope, None, None, None


def _kernels(weight: Tensor) -> Tensor:
    """Real matrices (f, 2 outputs, 2 inputs) that multiply by the conjugate spectra of the kernels."""
    _, conjugate, _ = _transforms(weight.shape[2], weight.dtype)
    real, imaginary = (weight @ conjugate.T).movedim(-1, 0).reshape(-1, 2, *weight.shape[:2]).unbind(1)
    return torch.cat([torch.cat([real, -imaginary], 2), torch.cat([imaginary, real], 2)], 1)


def _kernel_slopes(slopes: Tensor, conjugate: Tensor) -> Tensor:
    """Gradient to the kernels (outputs, inputs, kernel), from that to the matrices of `_kernels`."""
    outputs, inputs = slopes.shape[1] // 2, slopes.shape[2] // 2
    real = slopes[:, :outputs, :inputs] + slopes[:, outputs:, inputs:]
    imaginary = slopes[:, outputs:, :inputs] - slopes[:, :outputs, inputs:]
    return torch.stack([real, imaginary], 1).flatten(0, 1).movedim(0, -1) @ conjugate
