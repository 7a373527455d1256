"""Convolution along time with a long kernel: on a CPU in the frequency domain, by short overlapping tiles.

A kernel of 13 steps costs 13 multiplications an output and channel; in tiles of 40 steps, of which 28 are new, the
products of spectra cost 6, and as matrix products they run at full speed. The discrete Fourier transforms, so short,
are matrix products too. Everything is exact up to rounding: the same mathematics as `nn.Conv1d`.

What comes out stays in tiles, (new steps, channels, positions), where it is a matrix for every step of a tile: layers
that see single steps go on there as plain matrix products, and `steps_of` puts the steps in their order at the end.
"""

import math
from functools import cache
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

LARGE = 2048  # pairs of channels from which tensors are so large that fresh memory for each costs time


class LongConv1d(nn.Conv1d):
    """`nn.Conv1d` with an odd kernel, whose borders are replicated, so that the number of steps stays.

    Args:
        inputs, outputs: channels.
        kernel: odd length.
        dilation: distance of the steps that the kernel sees.

    Example:
        >>> layer = LongConv1d(3, 5, kernel=13, dilation=2)
        >>> layer(torch.zeros(2, 3, 100)).shape
        torch.Size([2, 5, 100])
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
        if not self.takes_tiles(x):
            return super().forward(functional.pad(x, (self.reach, self.reach), mode="replicate"))
        return steps_of(self.tiles(x), len(x), self.dilation[0], x.shape[-1])

    @property
    def reach(self) -> int:
        """Steps that an output sees on either side of its own."""
        return self.kernel_size[0] // 2 * self.dilation[0]

    @property
    def is_wide(self) -> bool:
        """Whether there are so many channels that fresh memory for each tensor costs time."""
        return self.in_channels * self.out_channels >= LARGE

    def takes_tiles(self, x: Tensor) -> bool:
        """The one switch: full precision on a CPU; libraries of GPUs have the faster convolution."""
        return x.device.type == "cpu" and not torch.is_autocast_enabled("cpu")

    def tiles(self, x: Tensor, *, rectify: bool = False) -> Tensor:
        """Outputs in tiles, (new steps, outputs, positions), see `steps_of`; with `rectify` their ReLU."""
        (kernel,), (dilation,) = self.kernel_size, self.dilation
        alone = not (self.training or torch.is_grad_enabled() or len(x) > 1)
        transforms = _three_transforms if alone else _transforms
        new = len(transforms(kernel, x.dtype, x.device)[2]) * dilation
        padded = functional.pad(x, (self.reach, self.reach + -x.shape[-1] % new), mode="replicate")  # tiles are whole
        if not alone:
            tiles: Tensor = _TiledConvolution.apply(padded, self.weight, self.bias, dilation, rectify)
            return tiles
        assert self.bias is not None  # for the type checker: this layer always has one
        tiles = _three_products(padded, self._spectra(), self.bias, kernel, dilation)
        return tiles.relu_() if rectify else tiles

    def _spectra(self) -> Tensor:
        """Kernels of `_three_products`; in evaluation they are kept while the weight stays what it is."""
        weight = self.weight.detach()
        state = (weight.data_ptr(), weight._version, weight.dtype, weight.device)
        if self._kept is None or self._kept[0] != state:
            _, taps, _ = _three_transforms(weight.shape[2], weight.dtype, weight.device)
            self._kept = (state, (weight @ taps.T).movedim(-1, 0).contiguous())
        return self._kept[1]


def steps_of(tiles: Tensor, batch: int, dilation: int, steps: int) -> Tensor:
    """Tiles (new steps, channels, positions) as (batch, channels, steps).

    A position is a sample, a phase of the dilation and a tile, the last fastest; steps beyond the last are dropped.

    Example:
        >>> tiles = torch.tensor([[[0, 2, 4]], [[1, 3, 5]]])  # three tiles of two new steps, one channel
        >>> steps_of(tiles, batch=1, dilation=1, steps=5)
        tensor([[[0, 1, 2, 3, 4]]])
    """
    new, channels, _ = tiles.shape
    ordered = tiles.view(new, channels, batch, dilation, -1).permute(2, 1, 4, 0, 3)
    return ordered.reshape(batch, channels, -1)[..., :steps]


@cache
def _transforms(
    kernel: int, dtype: torch.dtype, device: torch.device, kernels: float = 3.0
) -> tuple[Tensor, Tensor, Tensor]:
    """Matrices of tiles of n steps, s of which are new, with f frequencies, real and imaginary parts one by one.

    Args:
        kernel: its length.
        dtype: of the matrices.
        device: of the matrices.
        kernels: length of a tile in kernels; 3 is the best of several on two cores, for kernels of 7 to 31 steps.

    Returns:
        of a tile (2 f, n), of the kernel, conjugate (2 f, kernel), and back to the new steps (s, 2 f).
    """
    tile = 2 * math.ceil(kernels * kernel / 2)
    frequencies = tile // 2 + 1
    angles = 2 * math.pi * torch.outer(torch.arange(frequencies).double(), torch.arange(tile).double()) / tile
    forward = torch.stack([angles.cos(), -angles.sin()], 1).flatten(0, 1)
    weights = torch.full((frequencies, 1, 1), 2 / tile, dtype=torch.float64)
    weights[0] = weights[-1] = 1 / tile
    back = (forward.view(frequencies, 2, tile) * weights).flatten(0, 1)[:, : tile - kernel + 1]
    conjugate = torch.stack([angles.cos(), angles.sin()], 1).flatten(0, 1)[:, :kernel]
    matrices = forward, conjugate.contiguous(), back.T.contiguous()
    first, second, third = (matrix.to(device, dtype) for matrix in matrices)
    return first, second, third


@cache
def _three_transforms(kernel: int, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """As `_transforms`, (r, n), (r, kernel) and (s, r), r = 3 f - 4, for Gauss's way to multiply complex numbers.

    Of a b = (p - q) + i (r - p - q) the three real products are p of the real parts, q of the imaginary ones, and r of
    their sums. The first and the last frequency are real: there p is all. Tiles are shorter than in a batch: a single
    sample has the kernels' spectra read for itself alone, and they are fewer so.
    """
    to, taps, back = _transforms(kernel, torch.float64, device, 2.4)
    (x, y), (u, v) = ((part[0::2], part[1::2]) for part in (to, taps))
    real, imaginary = back[:, 0::2], back[:, 1::2]
    inner = slice(1, -1)
    return (
        torch.cat([x, y[inner], (x + y)[inner]]).to(dtype),
        torch.cat([u, v[inner], (u + v)[inner]]).to(dtype),
        torch.cat([real - imaginary, (-real - imaginary)[:, inner], imaginary[:, inner]], 1).to(dtype),
    )


def _three_products(x: Tensor, kernels: Tensor, bias: Tensor, kernel: int, dilation: int) -> Tensor:
    """What `_TiledConvolution` gives, without a gradient; faster where there are few positions.

    The kernels (3 f - 4, outputs, inputs) are those that evaluation keeps.
    """
    to, _, back = _three_transforms(kernel, x.dtype, x.device)
    seen = _tiled(x, to.shape[1], len(back), dilation)
    spectra = (to @ seen.reshape(to.shape[1], -1)).view(len(to), x.shape[1], -1)
    products = torch.bmm(kernels, spectra).view(len(to), -1)
    return torch.mm(back, products).view(len(back), kernels.shape[1], -1).add_(bias[:, None])


def _tiled(x: Tensor, tile: int, new: int, dilation: int) -> Tensor:
    """Overlapping tiles (steps of a tile, inputs, sample, phase of the dilation, tile) of padded x, a view."""
    batch, inputs, padded = x.shape
    tiles = (padded // dilation - tile + new) // new
    strides = (dilation, x.stride(1), x.stride(0), 1, new * dilation)
    return x.as_strided((tile, inputs, batch, dilation, tiles), strides)


class _TiledConvolution(torch.autograd.Function):
    """Valid convolution, in tiles, of padded x (batch, inputs, steps + (kernel - 1) dilation), steps of whole tiles."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, dilation: int, rectify: bool) -> Tensor:
        batch, inputs, padded = x.shape
        outputs, _, kernel = weight.shape
        to, conjugate, back = _transforms(kernel, x.dtype, x.device)
        tile, new = to.shape[1], back.shape[0]
        seen = _tiled(x, tile, new, dilation)
        tiles = seen.shape[-1]
        spectra = (to @ seen.reshape(tile, -1)).view(-1, 2 * inputs, batch * dilation * tiles)
        kernels = _kernels(weight, conjugate)
        products = torch.bmm(kernels, spectra).view(len(to), -1)
        steps = torch.mm(back, products).view(new, outputs, -1).add_(bias[:, None])
        if rectify:
            steps.relu_()
        ctx.save_for_backward(spectra, kernels, steps if rectify else None)
        ctx.sizes = (batch, inputs, padded, outputs, kernel, tiles, dilation)
        return steps

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None, None]:
        spectra, kernels, rectified = ctx.saved_tensors
        batch, inputs, padded, outputs, kernel, tiles, dilation = ctx.sizes
        (slope,) = slopes
        to, conjugate, back = _transforms(kernel, slope.dtype, slope.device)
        tile, new = to.shape[1], back.shape[0]
        if rectified is not None:
            slope = torch.ops.aten.threshold_backward(slope, rectified, 0)
        bias_slope = slope.sum((0, 2))
        products = (back.T @ slope.reshape(new, -1)).view(-1, 2 * outputs, batch * dilation * tiles)
        weight_slope = _kernel_slopes(torch.bmm(products, spectra.transpose(1, 2)), conjugate)
        if not ctx.needs_input_grad[0]:
            return None, weight_slope, bias_slope, None, None
        back_spectra = torch.bmm(kernels.transpose(1, 2), products).view(len(to), -1)
        pieces = (to.T @ back_spectra).view(tile, inputs, batch, dilation, tiles)
        # Neighbouring tiles overlap: what lies beyond the new steps belongs to the next tile.
        x_slope = slope.new_zeros(batch, inputs, tiles + 1, new, dilation)
        x_slope[:, :, :-1] = pieces[:new].permute(2, 1, 4, 0, 3)
        x_slope[:, :, 1:, : tile - new] += pieces[new:].permute(2, 1, 4, 0, 3)
        return x_slope.flatten(2)[..., :padded], weight_slope, bias_slope, None, None


def _kernels(weight: Tensor, conjugate: Tensor) -> Tensor:
    """Real matrices (f, 2 outputs, 2 inputs) that multiply by the conjugate spectra of the kernels."""
    real, imaginary = (weight @ conjugate.T).movedim(-1, 0).reshape(-1, 2, *weight.shape[:2]).unbind(1)
    return torch.cat([torch.cat([real, -imaginary], 2), torch.cat([imaginary, real], 2)], 1)


def _kernel_slopes(slopes: Tensor, conjugate: Tensor) -> Tensor:
    """Gradient to the kernels (outputs, inputs, kernel), from that to the matrices of `_kernels`."""
    outputs, inputs = slopes.shape[1] // 2, slopes.shape[2] // 2
    real = slopes[:, :outputs, :inputs] + slopes[:, outputs:, inputs:]
    imaginary = slopes[:, outputs:, :inputs] - slopes[:, :outputs, inputs:]
    return torch.stack([real, imaginary], 1).flatten(0, 1).movedim(0, -1) @ conjugate
