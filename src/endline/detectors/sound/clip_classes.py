"""Classes of training clips: from what the sample table tells of them, or from their likeness."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from endline.feature_set import FeatureSet

BATCH = 64


def told_classes(rows: pd.DataFrame, columns: Sequence[str]) -> NDArray[np.int64]:
    """Class (n,) of each training clip: one for every combination of what some columns say, from 0.

    Args:
        rows: the clips' rows of the sample table.
        columns: names of columns; those that are not there are passed over.

    Example:
        >>> rows = pd.DataFrame({"section": ["00", "00", "01"], "attributes": ["a", "b", "a"]})
        >>> told_classes(rows, ["section", "attributes", "domain"]).tolist()
        [0, 1, 2]
    """
    present = [column for column in columns if column in rows]
    if not present:
        return np.zeros(len(rows), np.int64)
    return rows[present].astype(str).groupby(present, dropna=False).ngroup().to_numpy().astype(np.int64)


def pseudo_classes(features: FeatureSet, count: int, seed: int) -> NDArray[np.int64]:
    """Class (n,) of each clip by k-means on the mean and deviation over time of its mel bands, in dB as they are.

    Args:
        features: clips with `log_mel` (bands, frames).
        count: classes; fewer where there are fewer clips that differ.
        seed: of the first centres.

    Example:
        >>> loud, quiet = np.ones((3, 4, 5), "f4"), np.zeros((2, 4, 5), "f4")
        >>> classes = pseudo_classes(FeatureSet({"log_mel": np.concatenate([loud, quiet])}), 2, seed=0)
        >>> len(set(classes[:3])), len(set(classes[3:])), len(set(classes))
        (1, 1, 2)
    """
    pooled = [torch.cat(torch.std_mean(batch["log_mel"], 2, correction=0), 1) for batch in features.batches(BATCH)]
    _, classes = clusters(torch.cat(pooled).double(), count, seed)
    return classes


def clusters(vectors: Tensor, count: int, seed: int) -> tuple[Tensor, NDArray[np.int64]]:
    """Centres (k, d) of k-means, and the number (n,) of each vector's one.

    Args:
        vectors: (n, d).
        count: centres; k is less where fewer vectors differ.
        seed: of the first centres.

    Example:
        >>> centres, own = clusters(torch.tensor([[0.0], [2.0], [9.0], [9.0]]), 2, seed=0)
        >>> sorted(centres.flatten().tolist())
        [1.0, 9.0]
    """
    from sklearn.cluster import KMeans  # its import takes longer than a verdict

    values = vectors.cpu().numpy()
    k = min(count, len(np.unique(values, axis=0)))
    found = KMeans(k, n_init=4, random_state=seed).fit(values)
    return torch.from_numpy(found.cluster_centers_).to(vectors), found.labels_.astype(np.int64)
