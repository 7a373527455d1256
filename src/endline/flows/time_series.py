"""The flow of MTS-Flow: coupling of signals, with subnets that look along time."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from endline.flows.base import Maps
from endline.flows.coupling import Clamp, CouplingBlock, CouplingFlow, soft_clamp
from endline.flows.long_convolution import LongConv1d, steps_of


class SingleSteps(nn.Linear):
    """A convolution of kernel 1, on signals (batch, inputs, steps) or tiles (new steps, inputs, positions).

    Example:
        >>> SingleSteps(3, 5)(torch.zeros(2, 3, 100)).shape
        torch.Size([2, 5, 100])
    """

    def forward(self, x: Tensor) -> Tensor:
        """As x, with the outputs in place of the inputs."""
        return torch.baddbmm(self.bias[:, None], self.weight.expand(len(x), -1, -1), x)


class TimeSubnet(nn.Module):
    """A convolution over time, then layers that see one step each, with ReLU between.

    Args:
        inputs: signals that come in; one scale.
        outputs: signals that go out; one scale.
        hidden: signals between.
        kernel: odd length of the first convolution.
        dilation: distance of the steps that it sees.
        layers: hidden layers of kernel 1: 1 in the text, 0 in the authors' program.

    References:
        Rudolph 2024, section 8.1.1; borders are replicated, as in the authors' program.

    Example:
        >>> subnet = TimeSubnet([3], [6], hidden=12, kernel=13, dilation=2, layers=1)
        >>> subnet((torch.zeros(5, 3, 100),))[0].shape
        torch.Size([5, 6, 100])
    """

    def __init__(
        self, inputs: Sequence[int], outputs: Sequence[int], *, hidden: int, kernel: int, dilation: int, layers: int
    ) -> None:
        super().__init__()
        self.look = LongConv1d(inputs[0], hidden, kernel, dilation)
        self.between = nn.ModuleList(SingleSteps(hidden, hidden) for _ in range(layers))
        self.leave = SingleSteps(hidden, outputs[0])

    def forward(self, x: Maps) -> Maps:
        """Signals (batch, outputs, steps) of signals (batch, inputs, steps)."""
        (signals,) = x
        in_tiles = self.look.takes_tiles(signals)
        hidden = self.look.tiles(signals, rectify=True) if in_tiles else functional.relu(self.look(signals))
        for layer in self.between:
            assert isinstance(layer, SingleSteps)  # for the type checker: a ModuleList forgets what it holds
            hidden = functional.relu(layer(hidden))
        out = self.leave(hidden)
        return (steps_of(out, len(signals), self.look.dilation[0], signals.shape[-1]) if in_tiles else out,)


def time_series_flow(
    signals: int,
    *,
    blocks: int,
    hidden: int,
    kernel: int,
    dilation: int,
    layers: int,
    alpha: float,
    gamma: bool = True,
    clamp: Clamp = soft_clamp,
    generator: torch.Generator | None = None,
) -> CouplingFlow:
    """Flow on signals (batch, signals, steps); at least 2 signals, odd numbers too.

    Args:
        signals: their number.
        blocks: coupling blocks (published: 4).
        hidden: signals between, in the subnets (published: twice the signals).
        kernel: length of their first convolution (published: 13).
        dilation: distance of the steps that it sees (published: 2).
        layers: hidden layers of kernel 1 (published: 1 in the text, 0 in the program).
        alpha: bound of the log-scale (published: 1.2).
        gamma: whether the flow starts as the identity (published: no).
        clamp: bounds the log-scale, see `CouplingBlock`.
        generator: draws the permutations.

    Example:
        >>> flow = time_series_flow(7, blocks=4, hidden=14, kernel=13, dilation=2, layers=0, alpha=1.2)
        >>> flow.log_prob((torch.zeros(5, 7, 100),)).shape
        torch.Size([5])
    """

    def subnet(inputs: Sequence[int], outputs: Sequence[int]) -> TimeSubnet:
        return TimeSubnet(inputs, outputs, hidden=hidden, kernel=kernel, dilation=dilation, layers=layers)

    return CouplingFlow(
        [
            CouplingBlock([signals], subnet, alpha=alpha, gamma=gamma, clamp=clamp, generator=generator)
            for _ in range(blocks)
        ]
    )
