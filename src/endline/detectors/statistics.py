"""Mathematics that several detectors share: pooling, Gaussians, neighbours, densities."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor
from torch.nn import functional

from endline.feature_set import Batch

CONSTANT = 1e-6  # of its size: by less than this share float32 values vary through rounding alone
BEYOND = 10.0  # times its size that a score rises for a departure of one unit from what never changed


def pooled(batch: Batch) -> Tensor:
    """Mean over all positions of every array, joined in the arrays' order of names, (batch, features).

    Example:
        >>> pooled({"scale_1": torch.ones(2, 3, 4, 4), "scale_0": torch.zeros(2, 1, 8, 8)}).tolist()[0]
        [0.0, 1.0, 1.0, 1.0]
    """
    return torch.cat(
        [batch[name].flatten(2).mean(2) if batch[name].ndim > 2 else batch[name] for name in sorted(batch)], 1
    )


def departure(values: Tensor, mean: Tensor, constant: Tensor) -> Tensor:
    """How far features that never changed in training are from what they were, (batch, ...), at least 0.

    What never changed says nothing of its scale, so no deviation can be the unit. The largest departure counts, in
    units of a hundredth of the feature's size (of 1 where it was 0), up to 100; what is below one unit is none.

    Args:
        values: (batch, features, ...).
        mean: (features,) of the training.
        constant: (features,), 1 for a feature that never changed and 0 for others.

    Example:
        >>> values = torch.tensor([[24.0, 7.0], [24.1, 8.0], [12.0, 9.0], [0.0, 9.0]])
        >>> departure(values, torch.tensor([24.0, 5.0]), torch.tensor([1.0, 0.0])).round().tolist()
        [0.0, 0.0, 49.0, 99.0]
    """
    if not bool(constant.any()):
        return torch.zeros_like(values[:, 0])
    at = (slice(None), *[None] * (values.ndim - 2))
    size = torch.where(mean == 0, 1.0, mean.abs())[at]
    units = 100 * (values - mean[at]).abs() / size * constant[at]
    return (units.amax(1).clamp(max=100) - 1).clamp(min=0)


def shrunk_gaussian(vectors: Tensor, shrinkage: float) -> tuple[Tensor, Tensor]:
    """Mean (d,) and precision (d, d) of vectors (n, d), float64.

    The covariance becomes `(1 - shrinkage) * covariance + shrinkage * mean variance * identity`; a variance of
    zero everywhere (equal samples) gives a tiny one, so that scores stay finite.

    Args:
        vectors: (n, d), float64.
        shrinkage: share in [0, 1] of the mean variance.

    Example:
        >>> vectors = torch.tensor([[0.0, 1.0], [2.0, 1.0], [0.0, 3.0], [2.0, 3.0]]).double()
        >>> mean, precision = shrunk_gaussian(vectors, 0.5)
        >>> mean.tolist(), precision.diagonal().tolist()
        ([1.0, 2.0], [1.0, 1.0])
    """
    mean = vectors.mean(0)
    away = vectors - mean
    return mean, shrunk_precision(away.T @ away / len(vectors), shrinkage)


def shrunk_precision(covariance: Tensor, shrinkage: float) -> Tensor:
    """Inverse (d, d) of a covariance (d, d), float64, shrunk as `shrunk_gaussian` says.

    Example:
        >>> shrunk_precision(torch.diag(torch.tensor([1.0, 3.0]).double()), 1.0).diagonal().tolist()
        [0.5, 0.5]
    """
    variance = covariance.diagonal().mean().clamp(min=1e-12)
    identity = torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
    precision: Tensor = torch.linalg.inv((1 - shrinkage) * covariance + max(shrinkage, 1e-6) * variance * identity)
    return precision.contiguous()  # in rows, as it is loaded: another order of its memory rounds otherwise


def top_mean(values: Tensor, share: float) -> Tensor:
    """Mean (n,) of the largest share of the values (n, ...) of each sample, of one at least.

    Example:
        >>> top_mean(torch.tensor([[[1.0, 5.0], [3.0, 2.0]]]), 0.5)
        tensor([4.])
    """
    values = values.flatten(1)
    return values.topk(max(1, round(share * values.shape[1])), dim=1).values.mean(1)


def squared_mahalanobis(away: Tensor, precision: Tensor) -> Tensor:
    """Addends (..., d) of the squared Mahalanobis distances of deviations (..., d) from the mean.

    Example:
        >>> squared_mahalanobis(torch.tensor([[3.0, 4.0]]), torch.eye(2)).sum(1)
        tensor([25.])
    """
    return (away @ precision) * away


def nearest(vectors: Tensor, known: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """Distances and rows (n, k) of the k = min(neighbours, m) nearest of known vectors (m, d) to vectors (n, d).

    Example:
        >>> distances, rows = nearest(torch.tensor([[0.0]]), torch.tensor([[5.0], [1.0], [2.0]]), 2)
        >>> distances.tolist(), rows.tolist()
        ([[1.0, 2.0]], [[1, 2]])
    """
    distances, rows = distances_between(vectors, known).topk(min(neighbours, len(known)), largest=False)
    return distances, rows


def distances_between(vectors: Tensor, known: Tensor) -> Tensor:
    """Euclidean distances (n, m) of vectors (n, d) to known vectors (m, d), exact for equal vectors too.

    Example:
        >>> distances_between(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[5., 0.]])
    """
    # By differences: products of matrices lose the small distances, and depend on the size of the batch.
    return torch.cdist(vectors, known, compute_mode="donot_use_mm_for_euclid_dist")


def local_reachability_density(distances: Tensor, reach: Tensor) -> Tensor:
    """Density (n,) from the distances (n, k) to the neighbours and their own reaches (n, k).

    Breunig et al., "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000, definition 6.

    Example:
        >>> local_reachability_density(torch.tensor([[1.0, 3.0]]).double(), torch.tensor([[2.0, 2.0]]).double())
        tensor([0.4000], dtype=torch.float64)
    """
    # The small term keeps equal samples finite; it is scikit-learn's.
    return 1 / (torch.maximum(distances, reach).mean(1) + 1e-10)


def full_digits(x: Tensor) -> AbstractContextManager[None]:
    """Context in which autocast to few digits is off: whitening and the like subtract nearly equal numbers.

    Example:
        >>> with full_digits(torch.zeros(1)):
        ...     (torch.ones(1, 1) @ torch.ones(1, 1)).dtype
        torch.float32
    """
    return torch.autocast("cuda", enabled=False) if x.is_cuda else nullcontext()


def bounded_normal_nll(x: Tensor, mean: Tensor, width: Tensor, floor: float) -> Tensor:
    """Negative log-density of normal variables above the least that a bound of their deviation allows: at least 0.

    Args:
        x: values of any shape.
        mean: as expected, of that shape.
        width: any real numbers of that shape; the standard deviation is their softplus above the floor.
        floor: least standard deviation; without one, values that are constant are expected ever more exactly.

    Example:
        >>> bounded_normal_nll(torch.zeros(1), torch.zeros(1), torch.tensor([-100.0]), floor=0.05)
        tensor([0.])
    """
    deviation = functional.softplus(width) + floor
    return (deviation / floor).log() + ((x - mean) / deviation).square() / 2
