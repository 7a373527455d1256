"""What signals, or a flow's latents, do over a whole cycle: statistics of stretches, and how unusual they are.

A likelihood adds up step by step, so that an event that is missing makes a cycle only likelier. The largest and the
smallest value say that it is missing.
"""

import torch
from torch import Tensor, nn

from endline.detectors.pooled.gaussian import shrunk_gaussian

STATISTICS = 4  # mean, deviation, minimum, maximum
SHRINKAGE = 0.05


class StatisticsGaussian(nn.Module):
    """A Gaussian of the statistics of signals, each standardised by its training mean and deviation.

    Args:
        signals: signals (or latents) at a step.
        stretches: of a cycle, see `stretch_statistics`.
    """

    mean: Tensor
    gain: Tensor
    precision: Tensor

    def __init__(self, signals: int, stretches: int) -> None:
        super().__init__()
        size = signals * STATISTICS * stretches
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
        return ((away @ self.precision) * away).mean(1)


def stretch_statistics(z: Tensor, valid: Tensor, stretches: int) -> Tensor:
    """Mean, deviation, minimum and maximum of each signal in each stretch of a cycle's valid steps.

    Args:
        z: signals or latents (batch, signals, steps).
        valid: mask (batch, 1, steps), 1 from the start of a cycle to its end.
        stretches: number of them, of equal length, from the start of a cycle to its end.

    Returns:
        (batch, signals x statistics x stretches); 0 where a stretch has no step.
    """
    place = torch.arange(z.shape[-1]) * stretches / valid.sum(-1, keepdim=True).clamp(min=1)
    found = []
    for stretch in range(stretches):
        inside = (valid > 0) & (place >= stretch) & (place < stretch + 1)
        count = inside.sum(-1).clamp(min=1)
        some = inside.any(-1)
        mean = (z * inside).sum(-1) / count
        deviation = (((z - mean[..., None]) * inside).square().sum(-1) / count + 1e-12).sqrt()
        lowest = z.masked_fill(~inside, torch.inf).amin(-1)
        highest = z.masked_fill(~inside, -torch.inf).amax(-1)
        found += [torch.where(some, part, 0.0) for part in (mean, deviation, lowest, highest)]
    return torch.stack(found, 1).flatten(1)
