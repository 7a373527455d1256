"""Selective Mahalanobis: residuals of the autoencoder, measured by the covariance of the nearer domain."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.sound.dense_autoencoder import DenseAutoencoder, DenseAutoencoderConfig
from endline.detectors.sound.frame_windows import frame_map
from endline.detectors.statistics import shrunk_precision, squared_mahalanobis
from endline.detectors.training import train
from endline.errors import EndlineError
from endline.feature_set import Batch

BATCH = 16
DOMAINS = 2  # source, then target


@dataclass(frozen=True)
class AutoencoderMahalanobisConfig(DenseAutoencoderConfig):
    """Settings of `AutoencoderMahalanobis`, and those of its autoencoder (`DenseAutoencoderConfig`).

    Attributes:
        pooling: share in [0, 1] of the covariance of both domains together in that of each, by the numbers of their
            windows: 0 leaves each its own, 1 gives both the same (lambda of Friedman, "Regularized Discriminant
            Analysis", JASA 1989, equation 15). Ten target clips have a few thousand windows, whose neighbours are
            nearly the same, for 640 dimensions: by a covariance of them alone every other target clip is far away.
        shrinkage: share in [0, 1] of the mean variance that is mixed into each covariance then.

    Example:
        >>> AutoencoderMahalanobisConfig().pooling
        0.2
    """

    pooling: float = 0.2
    shrinkage: float = 0.3

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.pooling <= 1 or not 0 <= self.shrinkage <= 1:
            raise EndlineError(
                f"autoencoder_mahalanobis has pooling={self.pooling} and shrinkage={self.shrinkage}: "
                "choose both from 0 to 1."
            )


class AutoencoderMahalanobis(Detector[AutoencoderMahalanobisConfig]):
    """Mahalanobis distance of the autoencoder's residuals, by the domain to which a clip is nearer.

    Harada et al., "First-Shot Anomaly Sound Detection for Machine Condition Monitoring: A Domain Generalization
    Baseline", EUSIPCO 2023, section III: of source and of target each the second moments of the residuals of all
    training windows; a clip's score is the smaller of its two mean squared distances, here a dimension. Published
    without pooling and shrinkage, which ranks simulated machines worse than the plain autoencoder. The domain of a
    tested clip is not asked for. Without a column `domain`, or with one domain alone, both are the same. The map is
    what each band and frame adds to the distance; it may be negative, as addends of a quadratic form may.

    Example:
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> clips = np.random.default_rng(0).standard_normal((8, 16, 20)).astype("f4")
        >>> features = FeatureSet({"log_mel": clips})
        >>> rows = pd.DataFrame({"sample_id": list("abcdefgh"), "domain": ["source"] * 6 + ["target"] * 2})
        >>> config = AutoencoderMahalanobisConfig(hidden=8, latent=2, epochs=1, min_steps=0)
        >>> detector = AutoencoderMahalanobis(config)
        >>> history = detector.fit(features, seed=0, progress=Progress(), rows=rows)
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 16, 20])
    """

    Config = AutoencoderMahalanobisConfig
    required = ("log_mel",)
    model: DenseAutoencoder

    def _build(self, shapes: Shapes, samples: int) -> DenseAutoencoder:
        """The autoencoder at its start, and the precision of each domain's residuals."""
        bands, frames = shapes["log_mel"]
        model = DenseAutoencoder(bands, frames, self.config)
        model.register_buffer("precisions", torch.zeros(DOMAINS, model.size, model.size))
        return model

    def loss(self, batch: Batch) -> Tensor:
        """Mean squared error of windows drawn from the clips."""
        return self.model.residuals(self.model.drawn_from(batch["log_mel"])).square().mean()

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Train the autoencoder, then take the covariances of its residuals in closed form."""
        self.model.fit_level(training.features, self.config.levelled)
        losses = train(self.model, self.loss, training, self.config)
        covariances = self._covariances(training)
        precisions = [shrunk_precision(each, self.config.shrinkage) for each in covariances]
        self.model.get_buffer("precisions").copy_(torch.stack(precisions))
        return losses

    @torch.no_grad()
    def _covariances(self, training: Training) -> list[Tensor]:
        """Pooled second moments (d, d) of the residuals of each domain, float64; a missing domain has the other's."""
        size, target = self.model.size, is_target(training.rows)
        sums = torch.zeros(DOMAINS, size, size, dtype=torch.float64, device=training.features.device)
        counts = [0] * DOMAINS
        for start, batch in enumerate(training.features.batches(BATCH)):
            residuals = self.model.residuals(self.model.windows_of(batch["log_mel"]))
            inside = target[start * BATCH : (start + 1) * BATCH]
            for domain in range(DOMAINS):
                vectors = residuals[np.flatnonzero(inside == bool(domain))].flatten(0, 1).double()
                sums[domain] += vectors.T @ vectors
                counts[domain] += len(vectors)
        own = 1 - self.config.pooling
        pooled = [
            (own * sums[domain] + self.config.pooling * sums.sum(0)) / (own * count + self.config.pooling * sum(counts))
            for domain, count in enumerate(counts)
            if count
        ]
        return [pooled[0], pooled[-1]]

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,) and map (batch, bands, frames)."""
        residuals = self.model.residuals(self.model.windows_of(batch["log_mel"]))
        domains = [squared_mahalanobis(residuals, precision) for precision in self.model.get_buffer("precisions")]
        scores = torch.stack([addends.mean((1, 2)) for addends in domains])
        nearer = scores.argmin(0)

        def drawn() -> Tensor:
            source, target = domains
            chosen = torch.where((nearer == 0)[:, None, None], source, target)
            return frame_map(self.model.by_frame(chosen))

        return Scored(scores.amin(0), drawn)


def is_target(rows: pd.DataFrame) -> NDArray[np.bool_]:
    """Which training rows are of the target domain; none where there is no column `domain`.

    Example:
        >>> is_target(pd.DataFrame({"domain": ["source", "target", None]})).tolist()
        [False, True, False]
    """
    return rows["domain"].eq("target").to_numpy(bool) if "domain" in rows else np.zeros(len(rows), bool)
