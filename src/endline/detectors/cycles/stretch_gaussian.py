"""A Gaussian of what each signal does in each stretch of a cycle: the honest floor of the station `robot_cycle`."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Scored, Shapes
from endline.detectors.cycles.signals import (
    CycleDetector,
    Standardisation,
    cycle_shape,
    measured,
    measured_batches,
    signal_gradient,
)
from endline.detectors.cycles.stretch_statistics import SHRINKAGE, StatisticsGaussian, stretch_statistics
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet


@dataclass(frozen=True)
class StretchGaussianConfig:
    """Settings of `StretchGaussian`.

    Attributes:
        stretches: of equal length that a cycle is cut into.
        shrinkage: share in [0, 1] of the mean variance that is mixed into the covariance.
    """

    stretches: int = 4
    shrinkage: float = SHRINKAGE

    def __post_init__(self) -> None:
        if self.stretches < 1:
            raise EndlineError(f"stretch_gaussian has stretches={self.stretches}: choose at least 1.")


class StandardisedStatistics(nn.Module):
    """Standardised signals, and the Gaussian of their statistics.

    Args:
        signals: their number.
        stretches: of a cycle.
    """

    def __init__(self, signals: int, stretches: int) -> None:
        super().__init__()
        self.stretches = stretches
        self.standardise = Standardisation(signals)
        self.gaussian = StatisticsGaussian(signals, stretches)

    def statistics(self, values: Tensor, valid: Tensor) -> Tensor:
        """Statistics (batch, size) of the standardised signals."""
        return stretch_statistics(self.standardise(values, valid), valid, self.stretches)


class StretchGaussian(CycleDetector[StretchGaussianConfig]):
    """Mahalanobis distance of means, deviations, minima and maxima in stretches of a cycle.

    What `mts_flow` does with signals and latents, without the flow; the map too is the gradient times the signal.
    """

    Config = StretchGaussianConfig
    model: StandardisedStatistics

    def build(self, shapes: Shapes, samples: int) -> StandardisedStatistics:
        """Standardisation and Gaussian, not yet fitted."""
        return StandardisedStatistics(cycle_shape(shapes)[0], self.config.stretches)

    def learn(self, train: FeatureSet, *, seed: int, progress: Progress) -> tuple[float, ...]:
        """Closed form; no losses."""
        self.model.standardise.fit(measured_batches(train))
        found = torch.cat([self.model.statistics(*pair) for pair in measured_batches(train)])
        self.model.gaussian.fit(found, self.config.shrinkage)
        return ()

    @torch.no_grad()
    def score(self, batch: Batch) -> Scored:
        """Score (batch,); the map (batch, signals, steps) is drawn when it is read."""
        return Scored(
            self._scores(batch),
            lambda: signal_gradient(self._scores, batch, self.model.standardise, times_signal=True),
        )

    def _scores(self, batch: Batch) -> Tensor:
        unusual: Tensor = self.model.gaussian(self.model.statistics(*measured(batch)))
        return unusual
