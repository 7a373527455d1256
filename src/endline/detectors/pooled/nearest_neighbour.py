"""Distance to the nearest training samples, on pooled features."""

from dataclasses import dataclass

import torch
from torch import Tensor

from endline.detectors.pooled.pooled_detector import PooledDetector
from endline.errors import EndlineError


@dataclass(frozen=True)
class NearestNeighbourConfig:
    """Settings of `NearestNeighbour`.

    Attributes:
        neighbours: training samples whose distances are averaged; all of them where there are fewer.
    """

    neighbours: int = 2

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise EndlineError(f"nearest_neighbour has neighbours={self.neighbours}: choose at least 1.")


class NearestNeighbour(PooledDetector[NearestNeighbourConfig]):
    """Mean Euclidean distance to the nearest training samples.

    DN2 (Bergman, Cohen and Hoshen, "Deep Nearest Neighbor Anomaly Detection", 2020) with 2 neighbours; ours
    standardises the features first.
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


def nearest(vectors: Tensor, known: Tensor, neighbours: int) -> tuple[Tensor, Tensor]:
    """Distances and rows (n, k) of the k = min(neighbours, m) nearest of known vectors (m, d) to vectors (n, d)."""
    distances, rows = distances_between(vectors, known).topk(min(neighbours, len(known)), largest=False)
    return distances, rows


def distances_between(vectors: Tensor, known: Tensor) -> Tensor:
    """Euclidean distances (n, m) of vectors (n, d) to known vectors (m, d), exact for equal vectors too."""
    # By differences: products of matrices lose the small distances, and depend on the size of the batch.
    return torch.cdist(vectors, known, compute_mode="donot_use_mm_for_euclid_dist")
