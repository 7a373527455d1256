"""Distance to the nearest training cycles, step by step."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from endline.detectors.base import Shapes
from endline.detectors.cycles.cycle_detector import CycleDetector
from endline.detectors.cycles.signals import cycle_shape, measured_batches, prepared
from endline.detectors.fitting import Training
from endline.detectors.scored import Scored
from endline.detectors.standardisation import Standardisation
from endline.errors import EndlineError
from endline.feature_set import Batch, FeatureSet

VALUES = 2**20  # of training cycles that are compared at once: their copy of 4 MB


@dataclass(frozen=True)
class NearestCycleConfig:
    """Settings of `NearestCycle`.

    Attributes:
        neighbours: training cycles whose distances are averaged; all of them where there are fewer.
        half: keeps the training cycles as float16: half the memory and disk; what a value loses, 0.05 %, is far below
            the distance of two good cycles.

    Example:
        >>> NearestCycleConfig().half
        True
    """

    neighbours: int = 1
    half: bool = True

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise EndlineError(f"nearest_cycle has neighbours={self.neighbours}: choose at least 1.")


class KnownCycles(nn.Module):
    """The standardised training cycles.

    Args:
        signals, steps: of a cycle.
        samples: training cycles.
        half: whether they are kept as float16.

    Example:
        >>> model = KnownCycles(2, 10, samples=4, half=False)
        >>> model.distances(torch.ones(1, 2, 10), torch.ones(1, 1, 10)).tolist()
        [[1.0, 1.0, 1.0, 1.0]]
    """

    def __init__(self, signals: int, steps: int, samples: int, half: bool) -> None:
        super().__init__()
        dtype = torch.float16 if half else torch.float32
        self.standardise = Standardisation(signals)
        self.cycles: Tensor
        self.valid: Tensor
        self.register_buffer("cycles", torch.zeros(samples, signals, steps, dtype=dtype))
        self.register_buffer("valid", torch.zeros(samples, steps))

    def fill(self, features: FeatureSet) -> None:
        """Standardise, and remember, the training cycles."""
        self.standardise.fit(measured_batches(features))
        start = 0
        for values, valid in measured_batches(features):
            rows = slice(start, start + len(values))
            self.cycles[rows], self.valid[rows] = self.standardise(values, valid), valid[:, 0]
            start += len(values)

    def distances(self, x: Tensor, valid: Tensor) -> Tensor:
        """Mean absolute difference to every training cycle, (batch, samples).

        Args:
            x: standardised cycles (batch, signals, steps).
            valid: (batch, 1, steps).
        """
        own = x.flatten(1)
        rows = 2 * max(1, VALUES // (2 * own.shape[1]))  # even: each of two cores has the same number
        room = own.new_empty(rows, own.shape[1])  # one for all: fresh memory for each costs more than the distance
        sums = []
        for part in torch.split(self.cycles.flatten(1), rows):
            known = part if part.dtype == own.dtype else room[: len(part)].copy_(part)
            sums.append(torch.cdist(own, known, p=1))
        lasting = valid[:, 0].sum(1, keepdim=True) + self.valid.sum(1) - valid[:, 0] @ self.valid.T
        return torch.cat(sums, 1) / (lasting * x.shape[1]).clamp(min=1)


class NearestCycle(CycleDetector[NearestCycleConfig]):
    """Mean absolute difference of the standardised signals to the nearest training cycles.

    1-NN with the L1 norm (Rudolph 2024, section 8.2.1), which the published tables compare with. There padding counts
    as measured, as zeros, and distances are sums. Here a shorter cycle still ends in zeros, each signal's mean, but
    the sum is divided by the steps at which either of the two lasts: a short cycle is no nearer for having fewer
    steps. The map is the difference to the nearest, so that its mean over these steps is the score.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> cycles = np.random.default_rng(0).standard_normal((8, 2, 20)).astype("f4")
        >>> features = FeatureSet({"cycle": cycles, "valid": np.ones((8, 20), "f4")})
        >>> detector = NearestCycle(NearestCycleConfig(half=False))
        >>> history = detector.fit(features, seed=0, progress=Progress())
        >>> detector.score(features.read([0, 1])).score.tolist()
        [0.0, 0.0]
    """

    Config = NearestCycleConfig
    model: KnownCycles

    def _build(self, shapes: Shapes, samples: int) -> KnownCycles:
        """Room for the training cycles."""
        return KnownCycles(*cycle_shape(shapes), samples, self.config.half)

    def _learn(self, training: Training) -> tuple[float, ...]:
        """Remember the training cycles; nothing is drawn, no losses."""
        self.model.fill(training.features)
        return ()

    def _score(self, batch: Batch) -> Scored:
        """Mean distance (batch,), and map (batch, signals, steps), to the nearest."""
        x, valid = prepared(batch, self.model.standardise)
        neighbours = min(self.config.neighbours, len(self.model.cycles))
        distances, rows = self.model.distances(x, valid).topk(neighbours, largest=False)

        def differences() -> Tensor:
            each = [(x - self.model.cycles[column].float()).abs() for column in rows.T]
            return torch.stack(each).mean(0)

        return Scored(distances.mean(1), differences)
