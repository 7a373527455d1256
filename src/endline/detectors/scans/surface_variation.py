"""The variation model: how many deviations a scan is from the mean one, pixel by pixel or voxel by voxel."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.fitting import Training
from endline.detectors.scans.surfaces import BATCH, SurfaceDetector, Surfaces, SurfaceSettings
from endline.detectors.scored import Scored
from endline.detectors.statistics import top_mean
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class SurfaceVariationConfig(SurfaceSettings):
    """Settings of `SurfaceVariation`, and those of the baselines on whole scans (`SurfaceSettings`).

    Attributes:
        floor: least deviation by which a number is divided, as a share of the mean one.

    Example:
        >>> SurfaceVariationConfig().floor
        0.2
    """

    floor: float = 0.2

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.floor <= 0:
            raise EndlineError(f"surface_variation has floor={self.floor}: choose one above 0.")


class MeanSurface(nn.Module):
    """Mean and deviation of the pictures of scans.

    Args:
        settings: of the pictures.

    Example:
        >>> MeanSurface(SurfaceSettings(side=32)).mean.shape
        torch.Size([1, 32, 32])
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, settings: SurfaceSettings) -> None:
        super().__init__()
        size = (settings.channels, settings.side, settings.side)
        self.surfaces = Surfaces(settings)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("deviation", torch.ones(size))


class SurfaceVariation(SurfaceDetector[SurfaceVariationConfig]):
    """Distance of every pixel or voxel from its mean in training, in units of its own deviation.

    The variation model of Bergmann et al., "The MVTec 3D-AD Dataset for Unsupervised 3D Anomaly Detection and
    Localization", VISAPP 2022, section 4 (depth VM and voxel VM of table 6.2 of the thesis), on a coarse grid. There
    the largest distance is the score; here it is the mean of a share of them, and small deviations have a floor.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> depth = np.random.default_rng(0).standard_normal((9, 1, 64, 64)).astype("f4")
        >>> features = FeatureSet({"depth": depth, "depth_mask": np.ones_like(depth)})
        >>> detector = SurfaceVariation(SurfaceVariationConfig(side=32))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 32, 32])
    """

    Config = SurfaceVariationConfig
    model: MeanSurface

    def _build(self, shapes: Shapes, samples: int) -> MeanSurface:
        """Mean and deviation, not yet learned."""
        return MeanSurface(self.config)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses. Two passes: the range of the depths, then sums."""
        model, scans = self.model, training.features
        model.surfaces.fit(scans.batches(BATCH))
        total, squares = torch.zeros_like(model.mean).double(), torch.zeros_like(model.mean).double()
        for batch in scans.batches(BATCH):
            pictures = model.surfaces(batch).double()
            total, squares = total + pictures.sum(0), squares + pictures.square().sum(0)
        mean = total / len(scans)
        deviation = (squares / len(scans) - mean.square()).clamp(min=0).sqrt()
        least = self.config.floor * deviation.mean().clamp(min=1e-6)
        model.mean.copy_(mean)
        model.deviation.copy_((deviation.square() + least.square()).sqrt())
        return ()

    def _score(self, batch: Batch) -> Scored:
        """Score (batch,), and the mean distance of the layers as a map (batch, side, side)."""
        anomaly_map = ((self.model.surfaces(batch) - self.model.mean).abs() / self.model.deviation).mean(1)
        return Scored(top_mean(anomaly_map, self.config.top_share), anomaly_map)
