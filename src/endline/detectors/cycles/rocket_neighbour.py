"""Nearest training cycle in what random convolutions say of it; nothing is trained."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import WholeCycleDetector
from endline.detectors.cycles.random_kernels import PARTS, RandomKernels
from endline.detectors.cycles.signals import BATCH, cycle_shape, log_duration, measured, measured_batches
from endline.detectors.cycles.usual_course import UsualCourse
from endline.detectors.fitting import Training
from endline.detectors.neighbour_score import NeighbourScore, check_neighbours
from endline.detectors.standardisation import Standardisation
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class RocketNeighbourConfig:
    """Settings of `RocketNeighbour`.

    Attributes:
        kernels: random convolutions, three numbers each.
        floor, neighbours, density_neighbours, normalisation: see `NeighbourSettings`.

    Example:
        >>> RocketNeighbourConfig().kernels
        300
    """

    kernels: int = 300
    floor: float = 0.3
    neighbours: int = 2
    density_neighbours: int = 4
    normalisation: str = "ratio"

    def __post_init__(self) -> None:
        if self.kernels < 1:
            raise EndlineError(f"rocket_neighbour has kernels={self.kernels}: choose at least 1.")
        check_neighbours("rocket_neighbour", self)
        if not self.floor > 0:
            raise EndlineError(f"rocket_neighbour has floor={self.floor}: it must be above 0.")


class RandomView(nn.Module):
    """Standardised signals, the random kernels, and the training cycles in what these say.

    Args:
        signals, steps: of a cycle.
        samples: training cycles.
        kernels: random convolutions.

    Example:
        >>> RandomView(signals=2, steps=50, samples=4, kernels=6).known.vectors.shape
        torch.Size([4, 19])
    """

    def __init__(self, signals: int, steps: int, samples: int, kernels: int) -> None:
        super().__init__()
        self.standardise = Standardisation(signals)
        self.usual = UsualCourse(signals, steps)
        self.kernels = RandomKernels(signals, steps, kernels)
        self.known = NeighbourScore(samples, PARTS * kernels + 1)

    def vectors(self, batch: Batch) -> Tensor:
        """What the kernels say, and the logarithm of the duration, (batch, numbers)."""
        values, valid = measured(batch)
        return torch.cat([self.kernels(self.standardise(values, valid), valid), log_duration(batch)], 1)


class RocketNeighbour(WholeCycleDetector[RocketNeighbourConfig]):
    """Distance to the nearest training cycles in shares of positive values, maxima, deviations of random convolutions.

    ROCKET (Dempster, Petitjean and Webb 2020) without its classifier: as there is one class only, a cycle is compared
    with its nearest neighbours, in units of local density (Wilkinghoff et al. 2025). Events may come a little earlier
    or later without being strange, which the step by step difference of `nearest_cycle` cannot tell. The map is the
    gradient of the score times the departure from a usual cycle.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = RocketNeighbour(RocketNeighbourConfig(kernels=10))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = RocketNeighbourConfig
    optional = ("duration",)
    model: RandomView

    def _build(self, shapes: Shapes, samples: int) -> RandomView:
        """Kernels and room for the training cycles."""
        return RandomView(*cycle_shape(shapes), samples, self.config.kernels)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses."""
        model = self.model
        model.standardise.fit(model.usual.watching(measured_batches(training.features)))
        vectors = torch.cat([model.vectors(batch) for batch in training.features.batches(BATCH)])
        model.known.learn(vectors, self.config)
        return ()

    def _scores(self, batch: Batch) -> Tensor:
        scores: Tensor = self.model.known(self.model.vectors(batch), self.config)
        return scores
