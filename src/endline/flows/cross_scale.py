"""The cross-scale flow of CS-Flow: coupling subnets that exchange between neighbouring scales."""

from collections.abc import Sequence

import torch
from torch import nn
from torch.nn import functional

from endline.flows.base import Maps
from endline.flows.coupling import CouplingBlock, CouplingFlow
from endline.flows.winograd import WideConv2d


class CrossScaleSubnet(nn.Module):
    """Two convolutions a scale; between them neighbouring scales exchange their hidden maps.

    A scale's output is the sum of a convolution of its own hidden map, of the next finer hidden map (stride 2),
    and of the next coarser hidden map (bilinear upsampling, then a convolution). Sizes halve from scale to scale.

    Args:
        inputs: channels that come in, a scale.
        outputs: channels that go out, a scale.
        hidden: channels between.
        kernel: odd height and width of every kernel; borders are zero-padded.

    References:
        Rudolph et al., "Fully Convolutional Cross-Scale-Flows for Image-based Defect Detection", WACV 2022.

    Example:
        >>> subnet = CrossScaleSubnet([3, 4], [6, 8], hidden=16, kernel=(3, 3))
        >>> [tuple(out.shape) for out in subnet((torch.zeros(1, 3, 8, 8), torch.zeros(1, 4, 4, 4)))]
        [(1, 6, 8, 8), (1, 8, 4, 4)]
    """

    def __init__(self, inputs: Sequence[int], outputs: Sequence[int], hidden: int, kernel: tuple[int, int]) -> None:
        super().__init__()
        scales, pad = range(len(inputs)), (kernel[0] // 2, kernel[1] // 2)
        self.enter = nn.ModuleList(WideConv2d(count, hidden, kernel, padding=pad) for count in inputs)
        self.stay = nn.ModuleList(WideConv2d(hidden, count, kernel, padding=pad) for count in outputs)
        # down[i] leads from scale i to i + 1, up[i] from scale i + 1 to i; one bias a scale is enough.
        self.down = nn.ModuleList(
            nn.Conv2d(hidden, outputs[i + 1], kernel, stride=2, padding=pad, bias=False) for i in scales[:-1]
        )
        self.up = nn.ModuleList(WideConv2d(hidden, outputs[i], kernel, padding=pad, bias=False) for i in scales[:-1])

    def forward(self, x: Maps) -> Maps:
        """Maps (batch, outputs[i], H_i, W_i) of maps (batch, inputs[i], H_i, W_i)."""
        hidden = [functional.leaky_relu(enter(scale), 0.1) for enter, scale in zip(self.enter, x, strict=True)]
        out = [stay(scale) for stay, scale in zip(self.stay, hidden, strict=True)]
        for i, (down, up) in enumerate(zip(self.down, self.up, strict=True)):
            out[i + 1] = out[i + 1] + down(hidden[i])
            raised = functional.interpolate(hidden[i + 1], size=out[i].shape[-2:], mode="bilinear")
            out[i] = out[i] + up(raised)
        return tuple(out)


def cross_scale_flow(
    channels: Sequence[int],
    *,
    kernels: Sequence[tuple[int, int]],
    hidden: int,
    alpha: float,
    generator: torch.Generator | None = None,
) -> CouplingFlow:
    """Cross-scale flow with one block a kernel (published: 3, 3, 3, 5 and 1024 hidden channels).

    Args:
        channels: channels of each scale, finest first; they may differ.
        kernels: kernel height and width of each block.
        hidden: hidden channels of the subnets.
        alpha: bound of the log-scale.
        generator: draws the channel permutations.

    Example:
        >>> flow = cross_scale_flow([6, 8], kernels=[(3, 3), (5, 5)], hidden=16, alpha=3.0)
        >>> flow.log_prob((torch.zeros(2, 6, 8, 8), torch.zeros(2, 8, 4, 4))).shape
        torch.Size([2])
    """

    def block(kernel: tuple[int, int]) -> CouplingBlock:
        def subnet(inputs: Sequence[int], outputs: Sequence[int]) -> CrossScaleSubnet:
            return CrossScaleSubnet(inputs, outputs, hidden, kernel)

        return CouplingBlock(channels, subnet, alpha=alpha, generator=generator)

    return CouplingFlow([block(kernel) for kernel in kernels])
