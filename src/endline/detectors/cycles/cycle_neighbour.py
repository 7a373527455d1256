"""Nearest training cycle in statistics of whole cycles and in random convolutions, whichever is more surprised."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import WholeCycleDetector
from endline.detectors.cycles.cycle_statistics import NUMBERS, cycle_statistics
from endline.detectors.cycles.random_kernels import PARTS, RandomKernels
from endline.detectors.cycles.signals import (
    BATCH,
    cycle_shape,
    log_duration,
    measured,
    measured_batches,
)
from endline.detectors.cycles.usual_course import UsualCourse
from endline.detectors.fitting import Training
from endline.detectors.neighbour_score import NeighbourScore, check_neighbours
from endline.detectors.standardisation import Standardisation
from endline.errors import EndlineError
from endline.feature_set import Batch


@dataclass(frozen=True)
class CycleNeighbourConfig:
    """Settings of `CycleNeighbour`.

    Attributes:
        kernels: random convolutions, three numbers each; 0: the statistics alone.
        floor: least deviation by which a number is divided, in deviations of its signal; of the duration, as a share
            of it: what is the same in all training cycles says nothing of its scale.
        neighbours, density_neighbours, normalisation: see `NeighbourSettings`.

    Example:
        >>> CycleNeighbourConfig().floor
        0.01
    """

    kernels: int = 300
    floor: float = 0.01
    neighbours: int = 3
    density_neighbours: int = 4
    normalisation: str = "ratio"

    def __post_init__(self) -> None:
        if self.kernels < 0:
            raise EndlineError(f"cycle_neighbour has kernels={self.kernels}: choose at least 1, or 0 for none.")
        check_neighbours("cycle_neighbour", self)
        if not self.floor > 0:
            raise EndlineError(f"cycle_neighbour has floor={self.floor}: it must be above 0.")


class CycleViews(nn.Module):
    """Standardised signals, and the training cycles in each view of them.

    Args:
        signals, steps: of a cycle.
        samples: training cycles.
        kernels: random convolutions; 0 for none.

    Example:
        >>> model = CycleViews(signals=2, steps=10, samples=4, kernels=6)
        >>> [view.shape[1] for view in model.views({"cycle": torch.ones(1, 2, 10), "valid": torch.ones(1, 10)})]
        [35, 18]
    """

    def __init__(self, signals: int, steps: int, samples: int, kernels: int) -> None:
        super().__init__()
        self.standardise = Standardisation(signals)
        self.usual = UsualCourse(signals, steps)
        self.statistics = NeighbourScore(samples, NUMBERS * signals + 1)
        self.kernels = RandomKernels(signals, steps, kernels) if kernels else None
        self.convolutions = NeighbourScore(samples, PARTS * kernels) if kernels else None

    @property
    def known(self) -> list[NeighbourScore]:
        """The training cycles, view by view."""
        return [self.statistics] if self.convolutions is None else [self.statistics, self.convolutions]

    def views(self, batch: Batch) -> list[Tensor]:
        """Statistics of every signal with the logarithm of the duration, and what the kernels say: (batch, numbers)."""
        values, valid = measured(batch)
        z = self.standardise(values, valid)
        statistics = torch.cat([cycle_statistics(z, valid), log_duration(batch)], 1)
        return [statistics] if self.kernels is None else [statistics, self.kernels(z, valid)]


class CycleNeighbour(WholeCycleDetector[CycleNeighbourConfig]):
    """Distance to the nearest training cycles in statistics of the signals or in random convolutions of them.

    Two views of a cycle: levels, spreads, trends and shapes of the signals and the duration (`cycle_statistics`), and
    random convolutions (Dempster, Petitjean and Webb 2020, as in `rocket_neighbour`). Each number counts in units of
    its own deviation among the training cycles, so that a pressure that hardly varies weighs as much as a temperature
    that drifts all day. Distances are normalised by local density (Wilkinghoff et al. 2025), and standardised by the
    training cycles' own; the larger of the two scores counts, for which view a fault tells in is not known before.
    Nothing is trained, and a dozen cycles are enough, where a covariance would need hundreds. The map is the gradient
    of the score times the departure from a usual cycle.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = CycleNeighbour(CycleNeighbourConfig(kernels=10))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).map.shape
        torch.Size([2, 2, 20])
    """

    Config = CycleNeighbourConfig
    optional = ("duration",)
    model: CycleViews

    def _build(self, shapes: Shapes, samples: int) -> CycleViews:
        """Kernels, and room for the training cycles."""
        return CycleViews(*cycle_shape(shapes), samples, self.config.kernels)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Closed form; no losses."""
        model = self.model
        model.standardise.fit(model.usual.watching(measured_batches(training.features)))
        batches = [model.views(batch) for batch in training.features.batches(BATCH)]
        for known, parts in zip(model.known, zip(*batches, strict=True), strict=True):
            vectors = torch.cat(parts)
            known.learn(vectors, self.config, vectors.std(0, correction=0).clamp(min=self.config.floor))
        return ()

    def _scores(self, batch: Batch) -> Tensor:
        pairs = zip(self.model.known, self.model.views(batch), strict=True)
        return torch.stack([known(view, self.config) for known, view in pairs]).amax(0)
