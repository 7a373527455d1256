"""A Gaussian of what each signal does in each segment of a cycle: the baseline of the station `robot_cycle`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import WholeCycleDetector
from endline.detectors.cycles.segment_statistics import SHRINKAGE, StatisticsGaussian, segment_statistics
from endline.detectors.cycles.signals import cycle_shape, measured, measured_batches
from endline.detectors.cycles.usual_course import UsualCourse
from endline.detectors.fitting import Training
from endline.detectors.standardisation import Standardisation
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class SegmentGaussianConfig:
    """Settings of `SegmentGaussian`.

    Attributes:
        segments: of equal length that a cycle is cut into.
        shrinkage: share in [0, 1] of the mean variance that is mixed into the covariance.

    Example:
        >>> SegmentGaussianConfig().segments
        4
    """

    segments: int = 4
    shrinkage: float = SHRINKAGE

    def __post_init__(self) -> None:
        if self.segments < 1:
            raise EndlineError(f"segment_gaussian has segments={self.segments}: choose at least 1.")


class StandardisedStatistics(nn.Module):
    """Standardised signals, and the Gaussian of their statistics.

    Args:
        signals, steps: of a cycle.
        segments: of a cycle.

    Example:
        >>> model = StandardisedStatistics(signals=2, steps=30, segments=3)
        >>> model.statistics(torch.ones(1, 2, 30), torch.ones(1, 1, 30)).shape
        torch.Size([1, 24])
    """

    def __init__(self, signals: int, steps: int, segments: int) -> None:
        super().__init__()
        self.segments = segments
        self.standardise = Standardisation(signals)
        self.usual = UsualCourse(signals, steps)
        self.gaussian = StatisticsGaussian(signals, segments)

    def statistics(self, values: Tensor, valid: Tensor) -> Tensor:
        """Statistics (batch, size) of the standardised signals."""
        return segment_statistics(self.standardise(values, valid), valid, self.segments)


class SegmentGaussian(WholeCycleDetector[SegmentGaussianConfig]):
    """Mahalanobis distance of means, deviations, minima and maxima in segments of a cycle.

    What `mts_flow` does with signals and latents, without the flow; the map too is the gradient times the departure
    from a usual cycle.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = SegmentGaussian(SegmentGaussianConfig(segments=2))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = SegmentGaussianConfig
    model: StandardisedStatistics

    def _build(self, shapes: Shapes, samples: int) -> StandardisedStatistics:
        """Standardisation and Gaussian, not yet fitted."""
        return StandardisedStatistics(*cycle_shape(shapes), self.config.segments)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses."""
        self.model.standardise.fit(self.model.usual.watching(measured_batches(training.features)))
        statistics = torch.cat([self.model.statistics(*pair) for pair in measured_batches(training.features)])
        self.model.gaussian.fit(statistics, self.config.shrinkage)
        return ()

    def _scores(self, batch: Batch) -> Tensor:
        distances: Tensor = self.model.gaussian(self.model.statistics(*measured(batch)))
        return distances
