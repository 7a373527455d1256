"""A Gaussian on pooled features: the honest floor of every station."""

from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Scored, Shapes
from endline.detectors.progress import Progress
from endline.feature_set import Batch, FeatureSet

BATCH = 64


@dataclass(frozen=True)
class GaussianConfig:
    """Settings of `Gaussian`.

    Attributes:
        shrinkage: share in [0, 1] of the mean variance that is mixed into the covariance.
    """

    shrinkage: float = 0.05


class Gaussian(Detector[GaussianConfig]):
    """Mahalanobis distance of the globally pooled features to the training mean.

    Every map is averaged over its positions, the vectors of all arrays are joined. The covariance is shrunk
    towards a multiple of the identity, so that fewer samples than features do (Rippel et al., "Modeling the
    Distribution of Normal Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2021).
    """

    Config = GaussianConfig
    input_type = "hybrid"

    def build(self, shapes: Shapes, samples: int) -> nn.Module:
        """Mean (d,) and precision (d, d) of d pooled features."""
        size = sum(shape[0] for shape in shapes.values())
        model = nn.Module()
        model.register_buffer("mean", torch.zeros(size))
        model.register_buffer("precision", torch.zeros(size, size))
        return model

    def learn(self, train: FeatureSet, *, seed: int, progress: Progress) -> tuple[float, ...]:
        """Closed form; no losses."""
        vectors = torch.cat([pooled(batch) for batch in train.batches(BATCH)]).double()
        mean, precision = shrunk_gaussian(vectors, self.config.shrinkage)
        self.model.load_state_dict({"mean": mean.float(), "precision": precision.float()})
        return ()

    def score(self, batch: Batch) -> Scored:
        """Squared Mahalanobis distance, (batch,)."""
        mean, precision = cast(Tensor, self.model.mean), cast(Tensor, self.model.precision)
        away = pooled(batch) - mean
        return Scored(((away @ precision) * away).sum(1))


def pooled(batch: Batch) -> Tensor:
    """Mean over all positions of every array, joined in the arrays' order of names, (batch, features)."""
    return torch.cat(
        [batch[name].flatten(2).mean(2) if batch[name].ndim > 2 else batch[name] for name in sorted(batch)], 1
    )


def shrunk_gaussian(vectors: Tensor, shrinkage: float) -> tuple[Tensor, Tensor]:
    """Mean (d,) and precision (d, d) of vectors (n, d), float64.

    The covariance becomes `(1 - shrinkage) * covariance + shrinkage * mean variance * identity`; a variance of
    zero everywhere (equal samples) gives a tiny one, so that scores stay finite.
    """
    mean = vectors.mean(0)
    away = vectors - mean
    covariance = away.T @ away / len(vectors)
    variance = covariance.diagonal().mean().clamp(min=1e-12)
    identity = torch.eye(len(mean), dtype=vectors.dtype)
    precision = torch.linalg.inv((1 - shrinkage) * covariance + max(shrinkage, 1e-6) * variance * identity)
    return mean, precision.contiguous()  # in rows, as it is loaded: another order of its memory rounds otherwise
