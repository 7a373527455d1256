"""Random convolutions over time: what a cycle says to thousands of filters that nobody trained."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LENGTH = 9  # steps of a kernel
VALUES = 2**22  # of a convolution's result that are in memory at once
PARTS = 3  # share of positive values, maximum, deviation


class RandomKernels(nn.Module):
    """Share of positive values, maximum and deviation of a cycle's convolutions with random kernels.

    Dempster, Petitjean and Webb 2020 (ROCKET), section 3: weights are normal and centred, so that no kernel hears a
    signal's level; each looks at a random few of the signals; dilations, here powers of two, make it see short and
    long events; a bias says above what a value is positive. The deviation is ours: of it a fault takes away.

    Args:
        signals, steps: of a cycle.
        kernels: their number; drawn from torch's global generator.

    Example:
        >>> kernels = RandomKernels(signals=2, steps=50, kernels=6)
        >>> kernels(torch.zeros(1, 2, 50), torch.ones(1, 1, 50)).shape
        torch.Size([1, 18])
    """

    def __init__(self, signals: int, steps: int, kernels: int) -> None:
        super().__init__()
        exponents = 1 + int(math.log2(max(1.0, (steps - 1) / (LENGTH - 1))))
        numbers = [len(part) for part in torch.arange(kernels).tensor_split(exponents)]
        self.dilations = [2**exponent for exponent, number in enumerate(numbers) if number]
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()
        for number in filter(None, numbers):
            weight = torch.randn(number, signals, LENGTH)
            weight -= weight.mean(2, keepdim=True)
            most = torch.rand(number, 1) * math.log2(min(signals, LENGTH) + 1)
            few = (2**most).floor()  # signals that a kernel looks at, 1 to 9, the fewer the oftener
            order = torch.rand(number, signals).argsort(1).argsort(1)
            weight *= (order < few)[:, :, None]
            self.weights.append(nn.Parameter(weight, requires_grad=False))
            bias = 2 * torch.rand(number) - 1
            self.biases.append(nn.Parameter(bias, requires_grad=False))

    def forward(self, x: Tensor, valid: Tensor) -> Tensor:
        """What the kernels say, (batch, 3 x kernels).

        Args:
            x: standardised cycles (batch, signals, steps), 0 where padded.
            valid: (batch, 1, steps).
        """
        count = valid.sum(2).clamp(min=1)
        said = []
        for dilation, weight, bias in zip(self.dilations, self.weights, self.biases, strict=True):
            for part, offset in self._pieces(weight, bias, x):
                y = functional.conv1d(x, part, offset, padding=dilation * (LENGTH // 2), dilation=dilation)
                mean = (y * valid).sum(2) / count
                deviation = (((y - mean[:, :, None]) * valid).square().sum(2) / count + 1e-12).sqrt()
                largest = torch.where(valid > 0, y, -torch.inf).amax(2)
                largest = torch.where(largest.isfinite(), largest, 0.0)  # a cycle without a step
                positive = ((y > 0) * valid).sum(2) / count
                said += [positive, largest, deviation]
        return torch.cat(said, 1)

    def _pieces(self, weight: Tensor, bias: Tensor, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """So many kernels at once that what they make of x fits."""
        at_once = max(1, VALUES // (len(x) * x.shape[2]))
        starts = range(0, len(weight), at_once)
        return [(weight[start : start + at_once], bias[start : start + at_once]) for start in starts]
