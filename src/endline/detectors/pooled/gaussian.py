"""A Gaussian on pooled features: the baseline of every station."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.statistics import BEYOND, CONSTANT, departure, pooled, shrunk_gaussian, squared_mahalanobis
from endline.feature_set import Batch

BATCH = 64


@dataclass(frozen=True)
class GaussianConfig:
    """Settings of `Gaussian`.

    Attributes:
        shrinkage: share in [0, 1] of the mean variance that is mixed into the covariance.

    Example:
        >>> GaussianConfig().shrinkage
        0.05
    """

    shrinkage: float = 0.05


class Gaussian(Detector[GaussianConfig]):
    """Mahalanobis distance of the globally pooled features to the training mean.

    Every map is averaged over its positions, the vectors of all arrays are joined. The covariance is shrunk
    towards a multiple of the identity, so that fewer samples than features do (Rippel et al., "Modeling the
    Distribution of Normal Data in Pre-Trained Deep Features for Anomaly Detection", ICPR 2021). The features keep their
    units: a departure of one that never changed would drown in the variance of the others, and counts by itself.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> maps = np.random.default_rng(0).standard_normal((20, 3, 4, 4)).astype("f4")
        >>> detector = Gaussian(GaussianConfig())
        >>> history = detector.fit(FeatureSet({"scale_0": maps}), seed=0, progress=Progress())
        >>> near, far = detector.score({"scale_0": torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])}).score
        >>> bool(far > near)
        True
    """

    Config = GaussianConfig
    default_input_type = "hybrid"

    def _build(self, shapes: Shapes, samples: int) -> nn.Module:
        """Mean (d,), precision (d, d) and which never changed (d,) of d pooled features."""
        size = sum(shape[0] for shape in shapes.values())
        model = nn.Module()
        model.register_buffer("mean", torch.zeros(size))
        model.register_buffer("precision", torch.zeros(size, size))
        model.register_buffer("constant", torch.zeros(size))
        return model

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses."""
        vectors = torch.cat([pooled(batch) for batch in training.features.batches(BATCH)]).double()
        mean, precision = shrunk_gaussian(vectors, self.config.shrinkage)
        constant = (vectors.std(0, correction=0) <= CONSTANT * mean.abs()).float()
        self.model.load_state_dict({"mean": mean.float(), "precision": precision.float(), "constant": constant})
        return ()

    def _score(self, batch: Batch) -> Scored:
        """Squared Mahalanobis distance, (batch,)."""
        away = pooled(batch) - self.model.get_buffer("mean")
        return Scored(squared_mahalanobis(away, self.model.get_buffer("precision")).sum(1))

    def _beyond(self, batch: Batch) -> Tensor:
        """What features do that never changed in training, (batch,)."""
        mean, constant = self.model.get_buffer("mean"), self.model.get_buffer("constant")
        return BEYOND * departure(pooled(batch), mean, constant)
