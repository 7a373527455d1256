"""Pooled statistics of feature maps, and how far they are from those of normal images."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from endline.detectors.statistics import CONSTANT, shrunk_gaussian, squared_mahalanobis

LEAST = 1e-3  # squared distance below which the logarithm is not taken; and least deviation that is divided by
SHRINKAGE = 0.05  # share of the mean variance in the covariance


def map_statistics(maps: Sequence[Tensor]) -> Tensor:
    """Mean, deviation and maximum of every channel over its map, all maps joined, float64.

    Args:
        maps: of the scales, (n, channels, height, width) each.

    Returns:
        (n, 3 * channels of all scales).

    Example:
        >>> map_statistics([torch.tensor([[[[1.0, 3.0]]]])]).tolist()
        [[2.0, 1.0, 3.0]]
    """
    flat = [each.double().flatten(2) for each in maps]
    return torch.cat([own for each in flat for own in (each.mean(2), each.std(2, correction=0), each.amax(2))], 1)


class Pooled(NamedTuple):
    """A Gaussian of pooled statistics: their mean and gain (d,), and the precision (d, d) of what these standardise.

    Example:
        >>> one = Pooled(torch.tensor([1.0]), torch.tensor([0.5]), torch.tensor([[1.0]]))
        >>> one.distances(torch.tensor([[5.0]])).exp().round()
        tensor([4.])
    """

    mean: Tensor
    gain: Tensor
    precision: Tensor

    def distances(self, statistics: Tensor) -> Tensor:
        """Logarithm of the squared distance of statistics (n, d), (n,)."""
        away = (statistics - self.mean) * self.gain
        return squared_mahalanobis(away, self.precision).sum(1).add(LEAST).log()


def fitted_pooled(statistics: Tensor) -> Pooled:
    """Gaussian of pooled statistics (n, d), float64, each standardised; one that never changed is left out.

    Example:
        >>> pooled = fitted_pooled(torch.tensor([[0.0, 7.0], [2.0, 7.0]]).double())
        >>> pooled.mean.tolist(), pooled.gain.tolist()
        ([1.0, 7.0], [1.0, 0.0])
    """
    mean, deviation = statistics.mean(0), statistics.std(0, correction=0)
    gain = torch.where(deviation > CONSTANT * mean.abs() + 1e-12, 1 / deviation, 0.0)
    return Pooled(mean, gain, shrunk_gaussian((statistics - mean) * gain, SHRINKAGE)[1])
