"""Affine coupling over any number of scales: the one building block of all our flows."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from endline.flows.base import Flow, Maps

Subnet = Callable[[Maps], Maps]
SubnetFactory = Callable[[Sequence[int], Sequence[int]], nn.Module]


def soft_clamp(s: Tensor, alpha: float) -> Tensor:
    """Log-scale kept in (-alpha, alpha): (2 alpha / pi) atan(s / alpha) (Rudolph 2024, chapter 4)."""
    return (2 * alpha / math.pi) * torch.atan(s / alpha)


class CouplingBlock(Flow):
    """A fixed channel permutation, then two affine couplings (Real-NVP, Dinh et al. 2017).

    The channels of every scale are halved into `C // 2` and the rest. The second half transforms the first, then
    the new first half transforms the second. A subnet yields `[s, t]` of all scales in one pass.

    Args:
        channels: channels of each scale, at least 2.
        subnet: makes a network from (input channels, output channels) a scale; it maps a tuple of maps to a tuple
            of maps of the same sizes.
        alpha: bound of the log-scale.
        gamma: multiply `[s, t]` by a learnable scalar a scale and subnet, 0 at the start (CS-Flow, AST): the block
            then starts as its permutation.
        generator: draws the permutations.
    """

    def __init__(
        self,
        channels: Sequence[int],
        subnet: SubnetFactory,
        *,
        alpha: float,
        gamma: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if min(channels) < 2:
            raise ValueError(f"a coupling halves its channels: each scale needs at least 2, got {list(channels)}")
        self.alpha = alpha
        self.first = [count // 2 for count in channels]
        second = [count - half for count, half in zip(channels, self.first, strict=True)]
        self.second_to_first = subnet(second, [2 * half for half in self.first])
        self.first_to_second = subnet(self.first, [2 * half for half in second])
        start = torch.zeros(2, len(channels)) if gamma else torch.ones(2, len(channels))
        self.gamma = nn.Parameter(start, requires_grad=gamma)
        for scale, count in enumerate(channels):
            order = torch.randperm(count, generator=generator)
            self.register_buffer(f"permutation_{scale}", order)
            self.register_buffer(f"unpermutation_{scale}", torch.argsort(order))

    def forward(self, x: Maps) -> tuple[Maps, Tensor]:
        """Latents and log-determinant, see `Flow`."""
        x = tuple(scale[:, self.get_buffer(f"permutation_{i}")] for i, scale in enumerate(x))
        x1, x2 = self._halves(x)
        s, t = self._scale_and_shift(self.second_to_first, x2, 0)
        y1 = tuple(a * s_.exp() + t_ for a, s_, t_ in zip(x1, s, t, strict=True))
        r, u = self._scale_and_shift(self.first_to_second, y1, 1)
        y2 = tuple(b * r_.exp() + u_ for b, r_, u_ in zip(x2, r, u, strict=True))
        log_det = torch.stack([part.flatten(1).sum(1) for part in (*s, *r)]).sum(0)
        return _joined(y1, y2), log_det

    def inverse(self, z: Maps) -> Maps:
        """Data, see `Flow`."""
        y1, y2 = self._halves(z)
        r, u = self._scale_and_shift(self.first_to_second, y1, 1)
        x2 = tuple((b - u_) * (-r_).exp() for b, r_, u_ in zip(y2, r, u, strict=True))
        s, t = self._scale_and_shift(self.second_to_first, x2, 0)
        x1 = tuple((a - t_) * (-s_).exp() for a, s_, t_ in zip(y1, s, t, strict=True))
        x = _joined(x1, x2)
        return tuple(scale[:, self.get_buffer(f"unpermutation_{i}")] for i, scale in enumerate(x))

    def _halves(self, x: Maps) -> tuple[Maps, Maps]:
        first = tuple(scale[:, :half] for scale, half in zip(x, self.first, strict=True))
        return first, tuple(scale[:, half:] for scale, half in zip(x, self.first, strict=True))

    def _scale_and_shift(self, subnet: nn.Module, x: Maps, which: int) -> tuple[Maps, Maps]:
        outputs = [gamma * out for gamma, out in zip(self.gamma[which], subnet(x), strict=True)]
        pairs = [out.chunk(2, dim=1) for out in outputs]
        return tuple(soft_clamp(s, self.alpha) for s, _ in pairs), tuple(t for _, t in pairs)


class CouplingFlow(Flow):
    """Coupling blocks one after the other.

    Args:
        blocks: the blocks, first to last.
    """

    def __init__(self, blocks: Sequence[CouplingBlock]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)

    def forward(self, x: Maps) -> tuple[Maps, Tensor]:
        """Latents and log-determinant, see `Flow`."""
        log_det = x[0].new_zeros(len(x[0]))
        for block in self.blocks:
            x, change = block(x)
            log_det = log_det + change
        return x, log_det

    def inverse(self, z: Maps) -> Maps:
        """Data, see `Flow`."""
        for block in reversed(self.blocks):
            assert isinstance(block, CouplingBlock)  # for the type checker: a ModuleList forgets what it holds
            z = block.inverse(z)
        return z


def _joined(first: Maps, second: Maps) -> Maps:
    return tuple(torch.cat(halves, dim=1) for halves in zip(first, second, strict=True))
