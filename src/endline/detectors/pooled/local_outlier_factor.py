"""Local outlier factor on pooled features: how much sparser the neighbourhood is than those of the neighbours."""

from dataclasses import dataclass

import torch
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from endline.detectors.pooled.pooled_detector import PooledDetector
from endline.detectors.statistics import local_reachability_density, nearest
from endline.errors import EndlineError


@dataclass(frozen=True)
class LocalOutlierFactorConfig:
    """Settings of `LocalOutlierFactor`.

    Attributes:
        neighbours: size of a neighbourhood; one less than the training samples where they are fewer.

    Example:
        >>> LocalOutlierFactorConfig().neighbours
        20
    """

    neighbours: int = 20

    def __post_init__(self) -> None:
        if self.neighbours < 1:
            raise EndlineError(f"local_outlier_factor has neighbours={self.neighbours}: choose at least 1.")


class LocalOutlierFactor(PooledDetector[LocalOutlierFactorConfig]):
    """Mean local reachability density of the nearest training samples over the sample's own; about 1 = normal.

    Breunig et al., "LOF: Identifying Density-Based Local Outliers", SIGMOD 2000; as scikit-learn's of the same name
    with `novelty=True`.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> maps = np.random.default_rng(0).standard_normal((20, 3, 4, 4)).astype("f4")
        >>> detector = LocalOutlierFactor(LocalOutlierFactorConfig(neighbours=5))
        >>> history = detector.fit(FeatureSet({"scale_0": maps}), seed=0, progress=Progress())
        >>> near, far = detector.score({"scale_0": torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])}).score
        >>> bool(far > near)
        True
    """

    Config = LocalOutlierFactorConfig

    def empty(self, features: int, samples: int) -> dict[str, Tensor]:
        """The training vectors, the distance of each to its farthest neighbour, and its density."""
        return {
            "vectors": torch.zeros(samples, features, dtype=torch.float64),
            "reach": torch.zeros(samples, dtype=torch.float64),
            "density": torch.zeros(samples, dtype=torch.float64),
        }

    def learned(self, vectors: Tensor, seed: int) -> dict[str, Tensor]:
        """Densities of the training vectors, none its own neighbour; scikit-learn searches on the CPU."""
        search = NearestNeighbors(n_neighbors=self._neighbours(len(vectors))).fit(vectors.cpu().numpy())
        distances, rows = (torch.from_numpy(part).to(vectors.device) for part in search.kneighbors())
        reach = distances[:, -1]
        return {"vectors": vectors, "reach": reach, "density": local_reachability_density(distances, reach[rows])}

    def anomaly(self, vectors: Tensor) -> Tensor:
        """The factor, (batch,)."""
        known, reach, density = (self.model.get_buffer(name) for name in ("vectors", "reach", "density"))
        distances, rows = nearest(vectors, known, self._neighbours(len(known)))
        return density[rows].mean(1) / local_reachability_density(distances, reach[rows])

    def _neighbours(self, samples: int) -> int:
        return min(self.config.neighbours, samples - 1)
