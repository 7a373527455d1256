"""Position Gaussian: whitened features at every position, and pooled statistics of the whole image."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from endline.detectors.base import Detector, Shapes
from endline.detectors.fitting import Training
from endline.detectors.maps.map_statistics import LEAST, Pooled, fitted_pooled, map_statistics
from endline.detectors.maps.neighbourhoods import joined_patches, taken_scales
from endline.detectors.maps.positions import SUMS, moments, parts, together, whitening
from endline.detectors.scored import Scored
from endline.detectors.statistics import top_mean
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet

SEEN = 150  # training samples from which the common directions are found: each has hundreds of positions
BATCH = 16


@dataclass(frozen=True)
class PositionGaussianConfig:
    """Settings of `PositionGaussian`.

    Attributes:
        scales: the scales whose maps are taken, finest first; 0 is the finest that there is.
        components: common directions that are kept, those of the largest variance.
        regularisation: variance that is added to the whitened features, of 1, at each position.
        top_share: share in (0, 1] of the positions, the most anomalous ones, whose mean is the local score.
        pooled_weight: weight of the global score, that of the pooled statistics, beside the local one's 1; from 0.
        map_regularisation: the same for the map, that a defect stands out of all its places alike; 0: as for the score.
        own_level: share in [0, 1] of its median that is taken from each map: what raises an image as a whole (light, a
            shift) says nothing of the place. Of a defect that covers most of an image less is seen.

    Example:
        >>> PositionGaussianConfig().top_share
        0.02
    """

    scales: tuple[int, ...] = (1, 2)
    components: int = 100
    regularisation: float = 0.05
    top_share: float = 0.02
    pooled_weight: float = 0.5
    map_regularisation: float = 0.0
    own_level: float = 0.0

    def __post_init__(self) -> None:
        if not self.scales or min(self.scales) < 0 or self.components < 1:
            raise EndlineError(
                f"position_gaussian has scales={list(self.scales)} and components={self.components}: choose at least "
                "one scale, counted from 0, and one component."
            )
        if not 0 <= self.own_level <= 1:
            raise EndlineError(f"position_gaussian has own_level={self.own_level}: choose a share from 0 to 1.")
        weights = (self.pooled_weight, self.map_regularisation)
        if self.regularisation <= 0 or not 0 < self.top_share <= 1 or min(weights) < 0:
            raise EndlineError(
                f"position_gaussian has regularisation={self.regularisation}, map_regularisation="
                f"{self.map_regularisation}, top_share={self.top_share} and pooled_weight={self.pooled_weight}: choose "
                "a regularisation above 0, a share above 0 and at most 1, and a weight from 0, as for the map."
            )


class Positions(nn.Module):
    """What a fit knows: of the P positions of the finest scale taken, of the whole image, and of held-out normals.

    Args:
        shapes: shape (channels, height, width) of each scale's maps, the names' order being finest first.
        config: the settings.

    Raises:
        EndlineError: when a scale is not there.

    Example:
        >>> model = Positions({"scale_0": (6, 4, 4)}, PositionGaussianConfig(scales=(0,), components=3))
        >>> model.whitening.shape
        torch.Size([16, 3, 3])
    """

    centre: Tensor
    directions: Tensor
    mean: Tensor
    whitening: Tensor
    map_whitening: Tensor | None
    pooled_mean: Tensor
    pooled_gain: Tensor
    precision: Tensor
    level: Tensor
    spread: Tensor

    def __init__(self, shapes: Shapes, config: PositionGaussianConfig) -> None:
        super().__init__()
        self.names = taken_scales("position_gaussian", config.scales, shapes)
        channels = sum(shapes[name][0] for name in self.names)
        count = min(config.components, channels)
        self.height, self.width = shapes[self.names[0]][1:]
        positions, pooled = self.height * self.width, 3 * channels
        self.register_buffer("centre", torch.zeros(channels))
        self.register_buffer("directions", torch.zeros(channels, count))
        self.register_buffer("mean", torch.zeros(positions, count))
        self.register_buffer("whitening", torch.zeros(positions, count, count))
        # None is no part of a saved model: those of before judge as they did.
        self.register_buffer("map_whitening", torch.zeros_like(self.whitening) if config.map_regularisation else None)
        self.register_buffer("pooled_mean", torch.zeros(pooled))
        self.register_buffer("pooled_gain", torch.zeros(pooled))
        self.register_buffer("precision", torch.zeros(pooled, pooled))
        self.register_buffer("level", torch.zeros(3))  # of the map, the local score, the global score
        self.register_buffer("spread", torch.ones(3))

    @property
    def whitenings(self) -> list[Tensor]:
        """That for the score, and where the map has one of its own that one."""
        return [self.whitening] if self.map_whitening is None else [self.whitening, self.map_whitening]

    def features(self, batch: Batch) -> Tensor:
        """Features of a batch at the positions, averaged over 3 x 3, scales joined: (batch, positions, channels)."""
        return joined_patches(batch, self.names, (self.height, self.width), zero_padding=False)

    def vectors(self, batch: Batch) -> Tensor:
        """Features along the common directions, each of variance 1 over all positions, (positions, batch, k)."""
        return ((self.features(batch) - self.centre) @ self.directions).transpose(0, 1)

    def distances(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Logarithms of the squared distances at the positions, (batch, positions), for the score and for the map."""
        return log_distances(self.vectors(batch), self.mean, self.whitenings)

    def statistics(self, batch: Batch) -> Tensor:
        """Pooled statistics of a batch, (batch, 3 * channels), float64."""
        return map_statistics([batch[name] for name in self.names])


def log_distances(vectors: Tensor, mean: Tensor, whitenings: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Logarithms of the squared distances of vectors (p, n, k) to the Gaussian at each position, (n, p).

    Args:
        vectors: at p positions.
        mean: of the Gaussians, (p, k).
        whitenings: of the Gaussians, (p, k, k) each: the first for the score, the last for the map.

    Returns:
        Those for the score and those for the map.

    Example:
        >>> away = log_distances(torch.tensor([[[3.0, 4.0]]]), torch.zeros(1, 2), [torch.eye(2)[None]])
        >>> [float(each.exp().round()) for each in away]
        [25.0, 25.0]
    """
    away = vectors - mean[:, None]
    logs = [(away @ white.mT).square().sum(2).T.add(LEAST).log() for white in whitenings]
    return logs[0], logs[-1]


class PositionGaussian(Detector[PositionGaussianConfig]):
    """How far an image lies from the normal ones at its most anomalous positions, and as a whole.

    As in PaDiM (Defard et al. 2021) each position has a Gaussian of its own. Different are: the channels are reduced to
    the common directions of the largest variance, whitened, instead of a random choice; the local score is the mean of
    a share of the positions, not the largest one alone; and a global score is added, the distance of mean, deviation
    and maximum of every channel to their Gaussian, which sees what is wrong with a part as a whole (something missing,
    or there twice). Both are logarithms of squared distances, standardised by those of normal samples that the Gaussian
    has not seen: two halves of the training parts judge each other. So is the map, in standard deviations of a
    position, less a share of its own median; its Gaussians are pulled more towards what is common to all positions, for
    what is rare at one place alone is no defect yet.

    Example:
        >>> from endline.detectors.progress import Progress
        >>> rng = np.random.default_rng(0)
        >>> shapes = {"scale_0": (8, 3, 8, 8), "scale_1": (8, 4, 4, 4)}
        >>> features = FeatureSet({name: rng.standard_normal(shape).astype("f4") for name, shape in shapes.items()})
        >>> detector = PositionGaussian(PositionGaussianConfig(scales=(0, 1), components=3))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 8, 8])
    """

    Config = PositionGaussianConfig
    default_modality = "rgb"  # it takes several scales
    default_light = "standardised"
    model: Positions

    def _build(self, shapes: Shapes, samples: int) -> Positions:
        """Directions, Gaussians and what held-out normals have, empty."""
        return Positions(shapes, self.config)

    @torch.no_grad()
    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses. Three passes: directions, Gaussians, distances of what was held out; more of the last
        two where the sums would be too large.
        """
        model, features = self.model, training.features
        rng = np.random.default_rng(training.seed)
        seen = np.sort(rng.permutation(len(features))[:SEEN])
        self._find_directions(features.take(seen))
        halves = [features.take(rows) for rows in _halves(training.rows, rng) if len(rows)]
        values = 4 * model.mean.shape[1] ** 2  # of either half, of both, and of what lies between them
        at = parts(len(model.mean), values, SUMS)
        found = zip(*(self._fit_positions(positions, halves) for positions in at), strict=True)
        local, mapped = (torch.cat(each, 1) for each in found)
        whole = self._fit_pooled(halves)
        if len(halves) == 2:
            for number, held_out in enumerate((mapped, top_mean(local, self.config.top_share), whole)):
                model.level[number] = held_out.mean()
                model.spread[number] = held_out.std(correction=0).clamp(min=LEAST)
        return ()

    def _find_directions(self, features: FeatureSet) -> None:
        """Common mean and whitened directions of all positions."""
        model = self.model
        _, mean, covariance = moments(features, lambda batch: model.features(batch).flatten(0, 1)[None])
        variances, directions = torch.linalg.eigh(covariance[0])
        kept = model.directions.shape[1]
        variances, directions = variances.flip(0)[:kept].clamp(min=0), directions.flip(1)[:, :kept]
        ridge = 0.01 * variances.mean() + 1e-12
        model.centre.copy_(mean[0])
        model.directions.copy_(directions / (variances + ridge).sqrt())

    def _fit_positions(self, at: slice, halves: list[FeatureSet]) -> tuple[Tensor, Tensor]:
        """Fit the Gaussians of some positions; returns the distances (n, p) of either half to those of the other."""
        model = self.model
        of_halves = [moments(half, lambda batch: model.vectors(batch)[at]) for half in halves]
        _, mean, covariance = of_halves[0] if len(halves) == 1 else together(*of_halves)
        model.mean[at] = mean.float()
        for buffer, white in zip(model.whitenings, self._whitened(covariance), strict=True):
            buffer[at] = white
        found = []
        for half, (_, mean, covariance) in zip(halves, reversed(of_halves), strict=True):
            other = mean.float(), self._whitened(covariance)
            found += [log_distances(model.vectors(batch)[at], *other) for batch in half.batches(BATCH)]
        local, mapped = (torch.cat(each) for each in zip(*found, strict=True))
        return local, mapped

    def _whitened(self, covariance: Tensor) -> list[Tensor]:
        """Whitening of covariances, for the score and where the map has one of its own for it."""
        variances = (self.config.regularisation, self.config.map_regularisation)
        return [whitening(covariance, variance) for variance in variances if variance]

    def _fit_pooled(self, halves: list[FeatureSet]) -> Tensor:
        """Fit the Gaussian of the pooled statistics; returns the distances (n,) of either half to that of the other."""
        model = self.model
        of_halves = [torch.cat([model.statistics(batch) for batch in half.batches(BATCH)]) for half in halves]
        pooled = fitted_pooled(torch.cat(of_halves))
        model.pooled_mean.copy_(pooled.mean)
        model.pooled_gain.copy_(pooled.gain)
        model.precision.copy_(pooled.precision)
        others = [fitted_pooled(half) for half in reversed(of_halves)]
        return torch.cat([other.distances(half) for other, half in zip(others, of_halves, strict=True)])

    def _score(self, batch: Batch) -> Scored:
        """Local score and weighted global score, (batch,), and the map (batch, H, W)."""
        model = self.model
        local, mapped = model.distances(batch)
        pooled = Pooled(*(each.double() for each in (model.pooled_mean, model.pooled_gain, model.precision)))
        raw = torch.stack(
            [top_mean(local, self.config.top_share), pooled.distances(model.statistics(batch)).float()], 1
        )
        own = (raw - model.level[1:]) / model.spread[1:]
        away = (mapped - model.level[0]) / model.spread[0]
        away = away - self.config.own_level * away.quantile(0.5, 1, keepdim=True)
        score = own[:, 0] + self.config.pooled_weight * own[:, 1]
        return Scored(score, away.reshape(-1, model.height, model.width))


def _halves(rows: pd.DataFrame, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of either half of the parts, ascending; the second is empty where there is one part alone."""
    _, part = np.unique(rows["unit" if "unit" in rows else "sample_id"].astype(str), return_inverse=True)
    first = rng.permutation(part.max() + 1)[: (part.max() + 2) // 2]
    inside = np.isin(part, first)
    return np.flatnonzero(inside), np.flatnonzero(~inside)
