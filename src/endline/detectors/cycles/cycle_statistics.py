"""What each signal does over a whole cycle, in seventeen numbers that no alignment of steps is needed for."""

import torch
from torch import Tensor

QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
NUMBERS = 12 + len(QUANTILES)  # of a signal
STILL = 1e-3  # added to the deviation's power: of a signal that hardly moves, the shape is noise


def cycle_statistics(z: Tensor, valid: Tensor) -> Tensor:
    """Level, spread, trend, shape and order of each signal over a cycle's valid steps.

    Mean, standard deviation, smallest and largest value, and where in the cycle these are (0 to 1), the first and the
    last value, slope (change over the cycle, by least squares), skewness, kurtosis, correlation with the step before,
    and the `QUANTILES`. Of the families of Christ et al. 2018 (tsfresh), those that are defined from two steps on.

    Args:
        z: standardised signals (batch, signals, steps), 0 where padded.
        valid: mask (batch, 1, steps), 1 from the start of a cycle to its end.

    Returns:
        (batch, numbers x signals), differentiable but for the places of the extremes; 0 for a cycle without a step.

    Example:
        >>> ramp = torch.tensor([[[0.0, 1.0, 2.0, 3.0, 0.0]]])
        >>> said = cycle_statistics(ramp, torch.tensor([[[1.0, 1.0, 1.0, 1.0, 0.0]]]))
        >>> [round(number, 2) for number in said[0, :9].tolist()]
        [1.5, 1.12, 0.0, 3.0, 0.0, 0.75, 0.0, 3.0, 3.0]
    """
    inside, count = valid > 0, valid.sum(2).clamp(min=1)  # (batch, 1, steps), (batch, 1)
    mean = (z * valid).sum(2) / count
    away = (z - mean[:, :, None]) * valid
    variance = away.square().sum(2) / count
    deviation = (variance + 1e-12).sqrt()
    low, low_at = z.masked_fill(~inside, torch.inf).min(2)
    high, high_at = z.masked_fill(~inside, -torch.inf).max(2)
    end = (count.long() - 1)[:, :, None].expand(-1, z.shape[1], 1)
    place = (torch.arange(z.shape[2], device=z.device) / (count - 1).clamp(min=1)[:, :, None] - 0.5) * valid
    statistics = [
        mean,
        deviation,
        low,
        high,
        low_at / count,
        high_at / count,
        z[:, :, 0],
        z.gather(2, end)[:, :, 0],
        (away * place).sum(2) / place.square().sum(2).clamp(min=1e-12),
        away.pow(3).sum(2) / count / (deviation.pow(3) + STILL),
        away.pow(4).sum(2) / count / (deviation.pow(4) + STILL),
        (away[:, :, 1:] * away[:, :, :-1]).sum(2) / count / (variance + STILL**2),
    ]
    rising = z.masked_fill(~inside, torch.inf).sort(2).values
    for quantile in QUANTILES:
        at = (quantile * (count - 1)).round().long()[:, :, None].expand(-1, z.shape[1], 1)
        statistics.append(rising.gather(2, at)[:, :, 0])
    said = torch.cat(statistics, 1)
    return torch.where(said.isfinite(), said, 0.0)
