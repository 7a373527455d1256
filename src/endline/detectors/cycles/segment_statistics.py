"""What signals, or a flow's latents, do over a whole cycle: statistics of segments, and how unusual they are.

A likelihood adds up step by step, so that an event that is missing makes a cycle only likelier. The largest and the
smallest value say that it is missing.
"""

import torch
from torch import Tensor, nn

from endline.detectors.statistics import shrunk_gaussian, squared_mahalanobis

STATISTICS = 4  # mean, deviation, minimum, maximum
SHRINKAGE = 0.05


class StatisticsGaussian(nn.Module):
    """A Gaussian of the statistics of signals, each standardised by its training mean and deviation.

    Args:
        signals: signals (or latents) at a step.
        segments: of a cycle, see `segment_statistics`.

    Example:
        >>> gaussian = StatisticsGaussian(signals=1, segments=1)
        >>> gaussian.fit(torch.randn(30, 4, generator=torch.Generator().manual_seed(0)))
        >>> near, far = gaussian(torch.tensor([[0.0] * 4, [9.0] * 4]))
        >>> bool(far > near)
        True
    """

    mean: Tensor
    gain: Tensor
    precision: Tensor

    def __init__(self, signals: int, segments: int) -> None:
        super().__init__()
        size = signals * STATISTICS * segments
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("gain", torch.ones(size))
        self.register_buffer("precision", torch.eye(size))

    def fit(self, statistics: Tensor, shrinkage: float = SHRINKAGE) -> None:
        """Take the Gaussian from those of the training cycles, (cycles, size); shrunk as by `shrunk_gaussian`."""
        vectors = statistics.double()
        mean, deviation = vectors.mean(0), vectors.std(0, correction=0)
        gain = torch.where(deviation > 1e-6, 1 / deviation, 1.0)
        _, precision = shrunk_gaussian((vectors - mean) * gain, shrinkage)
        self.mean, self.gain, self.precision = mean.float(), gain.float(), precision.float()

    def forward(self, statistics: Tensor) -> Tensor:
        """Squared Mahalanobis distance over the size, (batch,), of statistics (batch, size)."""
        away = (statistics - self.mean) * self.gain
        return squared_mahalanobis(away, self.precision).mean(1)


def segment_statistics(z: Tensor, valid: Tensor, segments: int) -> Tensor:
    """Mean, deviation, minimum and maximum of each signal in each segment of a cycle's valid steps.

    Args:
        z: signals or latents (batch, signals, steps).
        valid: mask (batch, 1, steps), 1 from the start of a cycle to its end.
        segments: number of them, of equal length, from the start of a cycle to its end.

    Returns:
        (batch, signals x statistics x segments); 0 where a segment has no step.

    Example:
        >>> z = torch.tensor([[[1.0, 3.0, 5.0, 7.0]]])
        >>> segment_statistics(z, torch.ones(1, 1, 4), 2).view(2, 4).round(decimals=2)
        tensor([[2., 1., 1., 3.],
                [6., 1., 5., 7.]])
    """
    position = torch.arange(z.shape[-1], device=z.device) * segments / valid.sum(-1, keepdim=True).clamp(min=1)
    statistics = []
    for segment in range(segments):
        inside = (valid > 0) & (position >= segment) & (position < segment + 1)
        count = inside.sum(-1).clamp(min=1)
        some = inside.any(-1)
        mean = (z * inside).sum(-1) / count
        deviation = (((z - mean[..., None]) * inside).square().sum(-1) / count + 1e-12).sqrt()
        lowest = z.masked_fill(~inside, torch.inf).amin(-1)
        highest = z.masked_fill(~inside, -torch.inf).amax(-1)
        statistics += [torch.where(some, part, 0.0) for part in (mean, deviation, lowest, highest)]
    return torch.stack(statistics, 1).flatten(1)
