"""Subspace: what of a patch lies outside of the few directions in which normal patches vary."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.neighbourhoods import joined_patches, taken_scales
from endline.detectors.maps.positions import moments
from endline.detectors.scored import Scored
from endline.detectors.statistics import top_mean
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class SubspaceConfig:
    """Settings of `Subspace`.

    Attributes:
        scales: the scales whose maps are taken, finest first; 0 is the finest that there is.
        variance: share in (0, 1) of the variance of normal patches that the subspace holds.
        top_share: share in (0, 1] of the positions, the most anomalous ones, whose mean is the score.
        zero_padding: whether patches are averaged with zeros beyond the border, which makes it count less; else over
            the positions that there are.

    Example:
        >>> SubspaceConfig().variance
        0.99
    """

    scales: tuple[int, ...] = (1, 2)
    variance: float = 0.99
    top_share: float = 0.01
    zero_padding: bool = False  # as in models that were saved before there was a choice

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 0 or not 0 < self.variance < 1 or not 0 < self.top_share <= 1:
            raise EndlineError(
                f"subspace has scales={list(self.scales)}, variance={self.variance} and top_share={self.top_share}: "
                "choose at least one scale, counted from 0, a variance between 0 and 1, and a share above 0 and at "
                "most 1."
            )


class Directions(nn.Module):
    """The directions outside of the subspace of normal patches.

    Args:
        shapes: shape (channels, height, width) of each scale's maps, the names' order being finest first.
        config: the settings.

    Raises:
        EndlineError: when a scale is not there.

    Example:
        >>> Directions({"scale_0": (6, 4, 4)}, SubspaceConfig(scales=(0,))).outside.shape
        torch.Size([6, 6])
    """

    mean: Tensor
    outside: Tensor

    def __init__(self, shapes: Shapes, config: SubspaceConfig) -> None:
        super().__init__()
        self.names, self.zero_padding = taken_scales("subspace", config.scales, shapes), config.zero_padding
        channels = sum(shapes[name][0] for name in self.names)
        self.height, self.width = shapes[self.names[0]][1:]
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("outside", torch.zeros(channels, channels))  # columns; zero are those of the subspace

    def patches(self, batch: Batch) -> Tensor:
        """Features of a batch at its positions, (batch, positions, channels)."""
        return joined_patches(batch, self.names, (self.height, self.width), zero_padding=self.zero_padding)

    def residuals(self, batch: Batch) -> Tensor:
        """Squared length of what of each patch lies outside, (batch, positions)."""
        return ((self.patches(batch) - self.mean) @ self.outside).square().sum(2)


class Subspace(Detector[SubspaceConfig]):
    """How much of a patch cannot be made of the principal components of normal patches.

    Lendering, Akdag and Bondarev, "SubspaceAD: Training-Free Few-Shot Anomaly Detection via Subspace Modeling", CVPR
    2026 (arXiv 2602.23013): one principal component analysis of the patches of all normal images, wherever they lie,
    keeps 99 % of their variance; the squared residual is the map, the mean of its largest 1 % the score. Published with
    a DINOv2 and rotated copies of few images; here on the station's maps, averaged over 3 x 3 positions.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> maps = np.random.default_rng(0).standard_normal((8, 3, 4, 4)).astype("f4")
        >>> features, detector = FeatureSet({"scale_0": maps}), Subspace(SubspaceConfig(scales=(0,), variance=0.5))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 4, 4])
    """

    Config = SubspaceConfig
    default_modality = "rgb"  # it takes several scales
    default_light = "standardised"
    model: Directions

    def _build(self, shapes: Shapes, samples: int) -> Directions:
        """The directions, empty."""
        return Directions(shapes, self.config)

    @torch.no_grad()
    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses. One pass over the samples."""
        model = self.model
        _, mean, covariance = moments(training.features, lambda batch: model.patches(batch).flatten(0, 1)[None])
        variances, directions = torch.linalg.eigh(covariance[0])
        held = variances.clamp(min=0).flip(0).cumsum(0)
        inside = int((held < self.config.variance * held[-1]).sum()) + 1  # the fewest that hold the share
        inside = min(inside, len(variances) - 1)  # or nothing would lie outside, whatever came
        model.mean.copy_(mean[0])
        model.outside.copy_(directions)
        model.outside[:, len(variances) - inside :] = 0
        return ()

    def _score(self, batch: Batch) -> Scored:
        """Mean of the largest squared residuals (batch,), and all of them (batch, H, W)."""
        residuals = self.model.residuals(batch)
        return Scored(
            top_mean(residuals, self.config.top_share), residuals.reshape(-1, self.model.height, self.model.width)
        )
