"""Isolation forest on pooled features: what random splits set apart early is anomalous."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.ensemble import IsolationForest as Forest
from torch import Tensor

from endline.detectors.pooled.pooled_detector import PooledDetector
from endline.errors import EndlineError


@dataclass(frozen=True)
class IsolationForestConfig:
    """Settings of `IsolationForest`.

    Attributes:
        trees: number of trees.
        subsample: training samples that a tree is grown from; all of them where there are fewer.

    Example:
        >>> IsolationForestConfig(trees=100).trees
        100
    """

    trees: int = 200
    subsample: int = 256

    def __post_init__(self) -> None:
        if self.trees < 1 or self.subsample < 2:
            raise EndlineError(
                f"isolation_forest has trees={self.trees} and subsample={self.subsample}: "
                "choose at least 1 tree and a subsample of at least 2."
            )


class IsolationForest(PooledDetector[IsolationForestConfig]):
    """2 to the power of minus the mean path length in the trees, relative to that of a random search; in (0, 1).

    Liu, Ting and Zhou, "Isolation Forest", ICDM 2008; grown by scikit-learn. A tree is kept as its nodes: the
    feature and the threshold of a split, the two nodes below, and the path length that counts where a sample ends.
    A leaf leads to itself, so that all samples take the same number of steps. Samples beyond all training samples in
    every feature share one score.

    Example:
        >>> import numpy as np
        >>> from endline.detectors.progress import Progress
        >>> from endline.feature_set import FeatureSet
        >>> maps = np.random.default_rng(0).standard_normal((20, 3, 4, 4)).astype("f4")
        >>> detector = IsolationForest(IsolationForestConfig(trees=20))
        >>> history = detector.fit(FeatureSet({"scale_0": maps}), seed=0, progress=Progress())
        >>> near, far = detector.score({"scale_0": torch.stack([torch.zeros(3, 4, 4), torch.ones(3, 4, 4)])}).score
        >>> bool(far > near)
        True
    """

    Config = IsolationForestConfig

    def empty(self, features: int, samples: int) -> dict[str, Tensor]:
        """Nodes (trees, 2 * subsample - 1) of the trees; a binary tree of n leaves has 2 n - 1."""
        shape = (self.config.trees, 2 * self._subsample(samples) - 1)
        whole = {name: torch.zeros(shape, dtype=torch.int64) for name in ("feature", "left", "right")}
        return {**whole, **{name: torch.zeros(shape, dtype=torch.float64) for name in ("threshold", "length")}}

    def learned(self, vectors: Tensor, seed: int) -> dict[str, Tensor]:
        """Grow the trees, on the CPU: scikit-learn knows no other device."""
        subsample = self._subsample(len(vectors))
        forest = Forest(n_estimators=self.config.trees, max_samples=subsample, random_state=seed)
        forest.fit(vectors.float().cpu().numpy())
        nodes = self.empty(vectors.shape[1], len(vectors))  # loaded into the model, wherever that is
        for number, grown in enumerate(forest.estimators_):
            tree = grown.tree_
            count, depth = tree.node_count, np.zeros(tree.node_count)
            for node in np.flatnonzero(tree.children_left >= 0):  # parents come before their children
                depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
            leaf, itself = tree.children_left < 0, np.arange(count)
            filled = {
                "feature": np.where(leaf, 0, tree.feature),
                "left": np.where(leaf, itself, tree.children_left),
                "right": np.where(leaf, itself, tree.children_right),
                "threshold": tree.threshold,
                "length": depth + [average_path_length(int(inside)) for inside in tree.n_node_samples],
            }
            for name, values in filled.items():
                nodes[name][number, :count] = torch.from_numpy(values)
        return nodes

    def anomaly(self, vectors: Tensor) -> Tensor:
        """The score of the paper, equation 2, (batch,)."""
        feature, left, right, threshold, length = (
            self.model.get_buffer(name) for name in ("feature", "left", "right", "threshold", "length")
        )
        subsample = (feature.shape[1] + 1) // 2
        values = vectors.float()  # scikit-learn grows its trees on float32
        trees = torch.arange(len(feature), device=values.device)
        node = torch.zeros(len(vectors), len(feature), dtype=torch.int64, device=values.device)
        for _ in range(math.ceil(math.log2(subsample))):  # trees are cut at this depth
            goes_left = values.gather(1, feature[trees, node]) <= threshold[trees, node]
            node = torch.where(goes_left, left[trees, node], right[trees, node])
        return torch.exp2(-length[trees, node].mean(1) / average_path_length(subsample))

    def _subsample(self, samples: int) -> int:
        return min(self.config.subsample, samples)


def average_path_length(samples: int) -> float:
    """Mean path length of an unsuccessful search in a random binary tree of N samples (equation 1).

    Example:
        >>> round(average_path_length(256), 2)
        10.24
    """
    if samples <= 2:
        return float(samples - 1)
    return 2 * (math.log(samples - 1) + float(np.euler_gamma)) - 2 * (samples - 1) / samples
