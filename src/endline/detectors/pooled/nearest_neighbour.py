"""Distance to the nearest training samples, on pooled features."""

from dataclasses import dataclass

import torch
from torch import Tensor

from endline.detectors.pooled.pooled_detector import PooledDetector
from endline.detectors.statistics import nearest
from endline.errors import EndlineError


@dataclass(frozen=True)
class NearestNeighbourConfig:
    """Settings of `NearestNeighbour`.

    Attributes:
        neighbours: training samples whose distances are averaged; all of them where there are fewer.

    Example:
        >>> NearestNeighbourConfig().neighbours
        2
    """

    neighbours: int = 2

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise EndlineError(f"nearest_neighbour has neighbours={self.neighbours}: choose at least 1.")


class NearestNeighbour(PooledDetector[NearestNeighbourConfig]):
    """Mean Euclidean distance to the nearest training samples.

    DN2 (Bergman, Cohen and Hoshen, "Deep Nearest Neighbor Anomaly Detection", 2020) with 2 neighbours; ours
    standardises the features first.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> maps = np.random.default_rng(0).standard_normal((20, 3, 4, 4)).astype("f4")
        >>> detector = NearestNeighbour(NearestNeighbourConfig())
        >>> history = detector.fit(FeatureSet({"scale_0": maps}), seed=0, progress=Progress())
        >>> near, far = detector.score({"scale_0": torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])}).score
        >>> bool(far > near)
        True
    """

    Config = NearestNeighbourConfig

    def empty(self, features: int, samples: int) -> dict[str, Tensor]:
        """The training vectors (samples, features)."""
        return {"vectors": torch.zeros(samples, features, dtype=torch.float64)}

    def learned(self, vectors: Tensor, seed: int) -> dict[str, Tensor]:
        """The vectors themselves; nothing is drawn."""
        return {"vectors": vectors}

    def anomaly(self, vectors: Tensor) -> Tensor:
        """Mean distance to the nearest, (batch,)."""
        distances, _ = nearest(vectors, self.model.get_buffer("vectors"), self.config.neighbours)
        return distances.mean(1)
