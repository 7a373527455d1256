"""How a detector sees the samples, on a plane: t-SNE of its embeddings, by which domains and anomalies can be told."""

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from endline.detectors.explaining import Embeds, OfPart, first_detectors
from endline.detectors.scoring import Detectors, are_joint, detector_rows
from endline.feature_set import FeatureSet
from endline.samples import TEST, TRAIN, regular_rows

COLUMNS = ("sample_id", "part", "split", "domain", "label", "x", "y", "embedded")
BATCH = 32
OF_EACH = 60  # samples of a split and domain: more would hide each other, and an embedding costs as much as a score
LEAST = 8  # samples below which a plane shows nothing
PERPLEXITY = 30.0


def embedding_table(samples: pd.DataFrame, features: FeatureSet, detectors: Detectors, seed: int) -> pd.DataFrame:
    """Where training and tested samples lie on a plane, by t-SNE (van der Maaten and Hinton 2008) of their embeddings.

    Each number of the embeddings is standardised first. Training and tested samples share the plane of a part; the
    detector is that of the first fold. Of each split and domain at most 60 are looked at, at regular distances.

    Args:
        samples: the sample table.
        features: row by row with it.
        detectors: by name.
        seed: of t-SNE.

    Returns:
        Columns `sample_id, part, split, domain, label, x, y, embedded`, the last one naming what the numbers are; empty
        where the detector offers no embedding, or there are fewer than eight samples.

    Example:
        >>> from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
        >>> table = pd.DataFrame({"sample_id": ["a"], "split": ["test"], "part": [None], "domain": [None]})
        >>> features = FeatureSet({"scale_0": np.zeros((1, 2, 1, 1), "f4")})
        >>> len(embedding_table(table, features, {"whole/0": Gaussian(GaussianConfig())}, seed=0))
        0
    """
    if not any(isinstance(detector, Embeds) for detector in detectors.values()):
        return pd.DataFrame(columns=list(COLUMNS))
    known = np.flatnonzero(samples["split"].isin((TRAIN, TEST)))
    rows, view = detector_rows(samples.iloc[known], features.take(known), joint=are_joint(detectors))
    chosen = regular_rows(rows, ["part", "split", "domain"], OF_EACH)
    rows, view = rows.iloc[chosen], view.take(chosen)
    tables = [_of_part(rows, each, seed) for each in first_detectors(rows, view, detectors) if len(each.rows) >= LEAST]
    return pd.concat([pd.DataFrame(columns=list(COLUMNS)), *tables], ignore_index=True)


def _of_part(rows: pd.DataFrame, given: OfPart, seed: int) -> pd.DataFrame:
    detector = given.detector
    assert isinstance(detector, Embeds)
    vectors = torch.cat([detector.embeddings(batch) for batch in given.features.batches(BATCH)]).numpy()
    x, y = plane(vectors, seed).T
    table = rows.iloc[given.rows][["sample_id", "part", "split", "domain", "label"]]
    return table.assign(x=x, y=y, embedded=detector.embedded)


def plane(vectors: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Places (n, 2) of vectors (n, numbers) by t-SNE, each number standardised; the same seed gives the same places.

    Example:
        >>> vectors = np.random.default_rng(0).standard_normal((12, 3)).astype("f4")
        >>> vectors[:6] += 20
        >>> places = plane(vectors, seed=0)
        >>> places.shape
        (12, 2)
    """
    from sklearn.manifold import TSNE  # its import takes seconds

    spread = vectors.std(0)
    standardised = (vectors - vectors.mean(0)) / np.where(spread > 0, spread, 1)
    perplexity = min(PERPLEXITY, (len(vectors) - 1) / 3)
    # Exact: of so few it takes less time, and the threads of the other method add up in another order each time.
    start = "pca" if vectors.shape[1] > 1 else "random"
    method = TSNE(2, perplexity=perplexity, init=start, method="exact", random_state=seed)
    return np.asarray(method.fit_transform(standardised), np.float64)
