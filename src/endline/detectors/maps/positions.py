"""Means and covariances at each position of a grid, in one pass over the samples and bounded memory."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from endline.feature_set import Batch, FeatureSet

BATCH = 16
SUMS = 2**25  # float64 values of the running sums, 256 MB: beyond it the positions are fitted part after part

Moments = tuple[int, Tensor, Tensor]
"""Number of vectors of a position, mean (p, d) and covariance (p, d, d) of p positions, float64."""


def parts(positions: int, values: int, limit: int) -> Iterator[slice]:
    """All positions in parts, so that at N values a position a part stays below the limit.

    Example:
        >>> list(parts(5, values=10, limit=20))
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    size = max(1, limit // values)
    return (slice(start, min(start + size, positions)) for start in range(0, positions, size))


def moments(features: FeatureSet, vectors: Callable[[Batch], Tensor]) -> Moments:
    """Moments of the vectors of all samples, at each position; of one vector the covariance is 0.

    Args:
        features: at least one sample.
        vectors: batch -> vectors (p, n, d), n the batch's size or a multiple of it.

    Example:
        >>> maps = torch.tensor([[1.0, 5.0], [3.0, 5.0]])[:, None, None]  # 2 samples, 1 channel, 1 x 2 positions
        >>> count, mean, covariance = moments(
        ...     FeatureSet({"scale_0": maps.numpy()}), lambda batch: batch["scale_0"].flatten(2).permute(2, 0, 1)
        ... )
        >>> count, mean.flatten().tolist(), covariance.flatten().tolist()
        (2, [2.0, 5.0], [2.0, 0.0])
    """
    sums: tuple[Tensor, Tensor, Tensor] | None = None
    count = 0
    for batch in features.batches(BATCH):
        own = vectors(batch).double()
        if sums is None:  # sums are taken around a first guess of the mean, for precision
            guess = own.mean(1)
            sums = guess, torch.zeros_like(guess), guess.new_zeros(*guess.shape, guess.shape[1])
        guess, total, products = sums
        own, count = own - guess[:, None], count + own.shape[1]
        total += own.sum(1)
        products.baddbmm_(own.mT, own)
    assert sums is not None
    guess, total, products = sums
    shift = total / count
    products.baddbmm_(shift[:, :, None], shift[:, None], alpha=-count)
    return count, guess + shift, products / max(1, count - 1)


def together(first: Moments, second: Moments) -> Moments:
    """Moments of two sets of samples as one.

    Example:
        >>> one = (1, torch.tensor([[1.0]]), torch.zeros(1, 1, 1))
        >>> count, mean, covariance = together(one, (1, torch.tensor([[3.0]]), torch.zeros(1, 1, 1)))
        >>> count, mean.item(), covariance.item()
        (2, 2.0, 2.0)
    """
    (a, mean_a, covariance_a), (b, mean_b, covariance_b) = first, second
    count, apart = a + b, mean_b - mean_a
    between = a * b / count * apart[:, :, None] * apart[:, None]
    covariance = ((a - 1) * covariance_a + (b - 1) * covariance_b + between) / (count - 1)
    return count, mean_a + b / count * apart, covariance


def whitening(covariance: Tensor, regularisation: float) -> Tensor:
    """Matrices (p, d, d) that make deviations from the mean white, float32: covariances with so much more variance.

    Example:
        >>> whitening(torch.tensor([[[3.0]]]).double(), regularisation=1.0).tolist()
        [[[0.5]]]
    """
    identity = torch.eye(covariance.shape[-1], dtype=covariance.dtype, device=covariance.device)
    factor = torch.linalg.cholesky(covariance + regularisation * identity)
    white: Tensor = torch.linalg.solve_triangular(factor, identity, upper=False)
    return white.float()
