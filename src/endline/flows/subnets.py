"""The plain subnet of a coupling: two convolutions a scale, with or without a condition."""

from collections.abc import Sequence
from typing import Literal

from torch import nn
from torch.nn import functional

from endline.flows.base import Maps
from endline.flows.winograd import WideConv2d


class ConvSubnet(nn.Module):
    """Convolution, ReLU, convolution on each scale by itself.

    A condition enters the first layer beside x, as if it were joined to its channels; being a layer of its own, its
    part is computed once where the condition is the same for all samples.

    Args:
        inputs: channels that come in, a scale.
        outputs: channels that go out, a scale.
        hidden: channels between, a scale.
        kernel: odd height and width of every kernel; 1 sees single vectors.
        condition: channels of the condition; 0 = none.
        padding: `zeros` or `replicate`, of the borders.

    Example:
        >>> import torch
        >>> subnet = ConvSubnet([3], [6], hidden=[16], kernel=3, condition=8)
        >>> (out,) = subnet((torch.zeros(5, 3, 4, 4),), (torch.zeros(1, 8, 4, 4),))
        >>> out.shape
        torch.Size([5, 6, 4, 4])
    """

    def __init__(
        self,
        inputs: Sequence[int],
        outputs: Sequence[int],
        hidden: Sequence[int],
        kernel: int,
        *,
        condition: int = 0,
        padding: Literal["zeros", "replicate"] = "zeros",
    ) -> None:
        super().__init__()

        def conv(count: int, width: int, bias: bool = True) -> nn.Conv2d:
            return WideConv2d(count, width, kernel, padding=kernel // 2, bias=bias, padding_mode=padding)

        self.enter = nn.ModuleList(conv(count, width) for count, width in zip(inputs, hidden, strict=True))
        self.condition = nn.ModuleList(conv(condition, width, bias=False) for width in hidden if condition)
        self.leave = nn.ModuleList(conv(width, count) for width, count in zip(hidden, outputs, strict=True))

    def forward(self, x: Maps, condition: Maps | None = None) -> Maps:
        """Maps (batch, outputs[i], H_i, W_i) of maps (batch, inputs[i], H_i, W_i)."""
        hidden = tuple(enter(scale) for enter, scale in zip(self.enter, x, strict=True))
        if condition is not None and len(self.condition):
            codes = (layer(code) for layer, code in zip(self.condition, condition, strict=True))
            hidden = tuple(scale + code for scale, code in zip(hidden, codes, strict=True))
        return tuple(leave(functional.relu(scale)) for leave, scale in zip(self.leave, hidden, strict=True))
