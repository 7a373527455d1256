"""Affine coupling over any number of scales: the one building block of all our flows."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from endline.flows.base import Flow, Maps

Clamp = Callable[[Tensor, float], Tensor]
SubnetFactory = Callable[[Sequence[int], Sequence[int]], nn.Module]


def soft_clamp(s: Tensor, alpha: float) -> Tensor:
    """Log-scale kept in (-alpha, alpha): (2 alpha / pi) atan(s / alpha) (Rudolph 2024, chapter 4).

    Example:
        >>> soft_clamp(torch.tensor([-1e9, 0.0, 1e9]), 3.0)
        tensor([-3.,  0.,  3.])
    """
    return (2 * alpha / math.pi) * torch.atan(s / alpha)


def tanh_clamp(s: Tensor, alpha: float) -> Tensor:
    """Log-scale kept in (-alpha, alpha): alpha tanh(s / alpha), as CFLOW bounds it."""
    return alpha * torch.tanh(s / alpha)


def unscaled_clamp(s: Tensor, alpha: float) -> Tensor:
    """As `soft_clamp`, but of s itself instead of s / alpha: what the authors' program of MTS-Flow does."""
    return (2 * alpha / math.pi) * torch.atan(s)


class CouplingBlock(Flow):
    """A fixed channel permutation, then two affine couplings (Real-NVP, Dinh et al. 2017).

    The channels of every scale are halved into `C // 2` and the rest. The second half transforms the first, then
    the new first half transforms the second. A subnet yields `[s, t]` of all scales in one pass.

    Args:
        channels: channels of each scale, at least 2.
        subnet: makes a network from (input channels, output channels) a scale; it maps a tuple of maps to a tuple
            of maps of the same sizes, and is given the condition as a second tuple where there is one.
        alpha: bound of the log-scale.
        gamma: multiply `[s, t]` by a learnable scalar a scale and subnet, 0 at the start (CS-Flow, AST): the block
            then starts as its permutation.
        clamp: bounds the log-scale, from it and alpha.
        generator: draws the permutations.

    Example:
        >>> from endline.flows.subnets import ConvSubnet
        >>> block = CouplingBlock([6], lambda ins, outs: ConvSubnet(ins, outs, [8], kernel=3), alpha=2.0)
        >>> x = torch.randn(5, 6, 4, 4)
        >>> (z,), log_det = block((x,))  # at the start a permutation of the channels
        >>> torch.equal(block.inverse((z,))[0], x), log_det.abs().max().item()
        (True, 0.0)
    """

    def __init__(
        self,
        channels: Sequence[int],
        subnet: SubnetFactory,
        *,
        alpha: float,
        gamma: bool = True,
        clamp: Clamp = soft_clamp,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(channels) < 2:
            raise ValueError(f"a coupling halves its channels: each scale needs at least 2, got {list(channels)}")
        self.alpha, self.clamp = alpha, clamp
        self.first = [count // 2 for count in channels]
        second = [count - half for count, half in zip(channels, self.first, strict=True)]
        self.second_to_first = subnet(second, [2 * half for half in self.first])
        self.first_to_second = subnet(self.first, [2 * half for half in second])
        self.gamma = nn.Parameter(torch.zeros(2, len(channels))) if gamma else None
        for scale, count in enumerate(channels):
            order = torch.randperm(count, generator=generator)
            self.register_buffer(f"permutation_{scale}", order)
            self.register_buffer(f"unpermutation_{scale}", torch.argsort(order))

    def forward(self, x: Maps, condition: Maps | None = None) -> tuple[Maps, Tensor]:
        """Latents and log-determinant, see `Flow`."""
        return _summed(self.by_position(x, condition))

    def by_position(self, x: Maps, condition: Maps | None = None) -> tuple[Maps, Maps]:
        """Latents, and the log-determinant by position, (batch, ...) a scale: their sum is log|det dz/dx|."""
        halves = tuple(self._permuted_halves(scale, i) for i, scale in enumerate(x))
        x1, x2 = tuple(first for first, _ in halves), tuple(second for _, second in halves)
        s, t = self._scale_and_shift(self.second_to_first, x2, condition, 0)
        y1 = tuple(a * s_.exp() + t_ for a, s_, t_ in zip(x1, s, t, strict=True))
        r, u = self._scale_and_shift(self.first_to_second, y1, condition, 1)
        y2 = tuple(b * r_.exp() + u_ for b, r_, u_ in zip(x2, r, u, strict=True))
        return _joined(y1, y2), tuple(s_.sum(1) + r_.sum(1) for s_, r_ in zip(s, r, strict=True))

    def inverse(self, z: Maps, condition: Maps | None = None) -> Maps:
        """Data, see `Flow`."""
        y1 = tuple(scale[:, :half] for scale, half in zip(z, self.first, strict=True))
        y2 = tuple(scale[:, half:] for scale, half in zip(z, self.first, strict=True))
        r, u = self._scale_and_shift(self.first_to_second, y1, condition, 1)
        x2 = tuple((b - u_) * (-r_).exp() for b, r_, u_ in zip(y2, r, u, strict=True))
        s, t = self._scale_and_shift(self.second_to_first, x2, condition, 0)
        x1 = tuple((a - t_) * (-s_).exp() for a, s_, t_ in zip(y1, s, t, strict=True))
        x = _joined(x1, x2)
        return tuple(_chosen(scale, self.get_buffer(f"unpermutation_{i}")) for i, scale in enumerate(x))

    def _permuted_halves(self, x: Tensor, scale: int) -> tuple[Tensor, Tensor]:
        order, back = self.get_buffer(f"permutation_{scale}"), self.get_buffer(f"unpermutation_{scale}")
        halves: tuple[Tensor, Tensor] = _PermutedHalves.apply(x, order, back, self.first[scale])
        return halves

    def _scale_and_shift(self, subnet: nn.Module, x: Maps, condition: Maps | None, which: int) -> tuple[Maps, Maps]:
        outputs: Maps = subnet(x) if condition is None else subnet(x, condition)
        if self.gamma is not None:
            outputs = tuple(gamma * out for gamma, out in zip(self.gamma[which], outputs, strict=True))
        pairs = [out.chunk(2, dim=1) for out in outputs]
        return tuple(self.clamp(s, self.alpha) for s, _ in pairs), tuple(t for _, t in pairs)


class CouplingFlow(Flow):
    """Coupling blocks one after the other.

    Args:
        blocks: the blocks, first to last.

    Example:
        >>> from endline.flows.subnets import ConvSubnet
        >>> def block() -> CouplingBlock:
        ...     return CouplingBlock([6], lambda ins, outs: ConvSubnet(ins, outs, [8], kernel=1), alpha=2.0)
        >>> flow = CouplingFlow([block() for _ in range(4)])
        >>> (z,), (log_det,) = flow.by_position((torch.zeros(5, 6, 3, 3),))
        >>> z.shape, log_det.shape
        (torch.Size([5, 6, 3, 3]), torch.Size([5, 3, 3]))
    """

    def __init__(self, blocks: Sequence[CouplingBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Maps, condition: Maps | None = None) -> tuple[Maps, Tensor]:
        """Latents and log-determinant, see `Flow`."""
        return _summed(self.by_position(x, condition))

    def by_position(self, x: Maps, condition: Maps | None = None) -> tuple[Maps, Maps]:
        """Latents and the log-determinant by position, see `CouplingBlock`."""
        log_dets: Maps = ()
        for block in self.blocks:
            assert isinstance(block, CouplingBlock)  # for the type checker: a ModuleList forgets what it holds
            x, changes = block.by_position(x, condition)
            log_dets = tuple(map(torch.add, log_dets, changes)) if log_dets else changes
        return x, log_dets

    def inverse(self, z: Maps, condition: Maps | None = None) -> Maps:
        """Data, see `Flow`."""
        for block in reversed(self.blocks):
            assert isinstance(block, CouplingBlock)
            z = block.inverse(z, condition)
        return z


class _PermutedHalves(torch.autograd.Function):
    """Channels in a new order, halved. Autograd's own gradient of an index adds up element by element: too slow."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, order: Tensor, back: Tensor, half: int) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(back)
        return _chosen(x, order[:half]), _chosen(x, order[half:])

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, None, None, None]:
        (back,) = ctx.saved_tensors
        return _chosen(torch.cat(slopes, 1), back), None, None, None


def _chosen(x: Tensor, channels: Tensor) -> Tensor:
    """Some channels of x, in the memory format of x: `x[:, channels]` would lose it, and slow down what follows."""
    if x.is_contiguous():
        return x.index_select(1, channels)
    rows = x.movedim(1, -1)
    chosen = rows.reshape(-1, x.shape[1]).index_select(1, channels)
    return chosen.view(*rows.shape[:-1], len(channels)).movedim(-1, 1)


def _joined(first: Maps, second: Maps) -> Maps:
    return tuple(torch.cat(halves, dim=1) for halves in zip(first, second, strict=True))


def _summed(by_position: tuple[Maps, Maps]) -> tuple[Maps, Tensor]:
    """Latents and log-determinant (batch,), from the log-determinant by position."""
    z, log_dets = by_position
    return z, torch.stack([change.reshape(len(change), -1).sum(1) for change in log_dets]).sum(0)
