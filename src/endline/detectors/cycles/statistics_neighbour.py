"""Nearest training cycle in the statistics of whole cycles, each in units of how it varies among good ones."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import WholeCycleDetector
from endline.detectors.cycles.cycle_statistics import NUMBERS, cycle_statistics
from endline.detectors.cycles.signals import (
    BATCH,
    Standardisation,
    cycle_shape,
    log_duration,
    measured,
    measured_batches,
)
from endline.detectors.fitting import Training
from endline.detectors.neighbour_score import NeighbourScore, check_neighbours
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class StatisticsNeighbourConfig:
    """Settings of `StatisticsNeighbour`.

    Attributes:
        floor: least deviation by which a statistic is divided, in deviations of its signal; of the duration, as a
            share of it: what is the same in all training cycles says nothing of its scale.
        neighbours, density_neighbours, normalisation: see `NeighbourSettings`.

    Example:
        >>> StatisticsNeighbourConfig().floor
        0.01
    """

    floor: float = 0.01
    neighbours: int = 3
    density_neighbours: int = 4
    normalisation: str = "ratio"

    def __post_init__(self) -> None:
        check_neighbours("statistics_neighbour", self)
        if not self.floor > 0:
            raise EndlineError(f"statistics_neighbour has floor={self.floor}: it must be above 0.")


class KnownStatistics(nn.Module):
    """Standardised signals, and the training cycles in their statistics.

    Args:
        signals: of a cycle.
        samples: training cycles.

    Example:
        >>> model = KnownStatistics(signals=2, samples=4)
        >>> model.vectors({"cycle": torch.ones(1, 2, 10), "valid": torch.ones(1, 10)}).shape
        torch.Size([1, 35])
    """

    def __init__(self, signals: int, samples: int) -> None:
        super().__init__()
        self.standardise = Standardisation(signals)
        self.known = NeighbourScore(samples, NUMBERS * signals + 1)

    def vectors(self, batch: Batch) -> Tensor:
        """Statistics of every signal, and the logarithm of the duration, (batch, numbers)."""
        values, valid = measured(batch)
        said = cycle_statistics(self.standardise(values, valid), valid)
        return torch.cat([said, log_duration(batch)], 1)


class StatisticsNeighbour(WholeCycleDetector[StatisticsNeighbourConfig]):
    """Distance to the nearest training cycles in levels, spreads, trends and shapes of the signals, and the duration.

    Each number counts in units of its own deviation among the training cycles, so that a pressure that hardly varies
    weighs as much as a temperature that drifts all day. Distances are normalised by local density (Wilkinghoff et al.
    2025). Nothing is trained, and a dozen cycles are enough, where a covariance would need hundreds. The map is the
    gradient of the score times the signal.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = StatisticsNeighbour(StatisticsNeighbourConfig())
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = StatisticsNeighbourConfig
    optional = ("outside", "duration")
    model: KnownStatistics

    def _build(self, shapes: Shapes, samples: int) -> KnownStatistics:
        """Room for the training cycles."""
        return KnownStatistics(cycle_shape(shapes)[0], samples)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses."""
        model = self.model
        model.standardise.fit(measured_batches(training.features))
        vectors = torch.cat([model.vectors(batch) for batch in training.features.batches(BATCH)])
        spread = vectors.std(0, correction=0).clamp(min=self.config.floor)
        model.known.learn(vectors, self.config, spread)
        return ()

    def _scores(self, batch: Batch) -> Tensor:
        scores: Tensor = self.model.known(self.model.vectors(batch), self.config)
        return scores
