"""Areas under weighted ROC curves, and the weights that a bootstrap of whole parts gives to items."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK = 2**21  # weights of items that are in memory at once
Numbers = NDArray[np.float64]


def resampled_weights(
    strata: Sequence[str], units: NDArray[Any], rng: np.random.Generator, resamples: int
) -> Iterator[NDArray[np.int64]]:
    """Weights of items in a bootstrap, block by block (resamples of the block, n); in the first block each counts once.

    Args:
        strata: name of the stratum of each item, (n,); units are drawn with replacement, as many as it has.
        units: name of the physical part that each item shows, (n,); its items of a stratum are drawn together.
        rng: of the draws.
        resamples: number of bootstrap samples.

    Example:
        >>> blocks = resampled_weights(["a", "a", "b"], np.array(["x", "y", "z"]), np.random.default_rng(0), 5)
        >>> [block.shape for block in blocks]
        [(1, 3), (5, 3)]
    """
    yield np.ones((1, len(units)), np.int64)
    step = max(1, BLOCK // len(units))
    members = [np.flatnonzero(np.asarray(strata) == name) for name in sorted(set(strata))]
    of_units = [np.unique(units[rows], return_inverse=True) for rows in members]
    for start in range(0, resamples, step):
        weights = np.empty((min(step, resamples - start), len(units)), np.int64)
        for rows, (names, unit) in zip(members, of_units, strict=True):
            weights[:, rows] = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), len(weights))[:, unit]
        yield weights


def weighted_area(
    scores: Numbers, anomalous: NDArray[np.bool_], weights: NDArray[np.int64], limit: float = 1.0
) -> Numbers:
    """Area under the ROC curve up to a false-alarm rate, by several weightings (w,); ties are joined by straight lines.

    Up to a rate below 1 it is standardised to 0.5 at chance and 1 at best (McClish 1989), as scikit-learn's is.

    Args:
        scores: (n,), larger is more anomalous.
        anomalous: (n,), of both kinds.
        weights: (w, n), not negative; each weighting leaves normals and anomalies.
        limit: false-alarm rate in (0, 1].

    Example:
        >>> scores, anomalous = np.array([0.0, 1.0, 1.0, 2.0]), np.array([False, False, True, True])
        >>> weighted_area(scores, anomalous, np.array([[1, 1, 1, 1], [1, 1, 1, 0]])).tolist()
        [0.875, 0.75]
    """
    order = np.argsort(-scores, kind="stable")
    lasts = np.flatnonzero(np.append(np.diff(scores[order]) != 0, True))  # of the items of each distinct score
    ordered, bad = weights[:, order], anomalous[order]
    alarms, recall = (np.cumsum(ordered * chosen, axis=1)[:, lasts].astype(np.float64) for chosen in (~bad, bad))
    start = np.zeros((len(weights), 1))
    x, y = (np.hstack([start, counts / counts[:, -1:]]) for counts in (alarms, recall))
    across = np.diff(x, axis=1)
    inside = np.clip(limit - x[:, :-1], 0.0, across)  # width of each piece of the curve that lies below the limit
    share = np.divide(inside, across, out=np.zeros_like(across), where=across > 0)
    area = (inside * (y[:, :-1] + share * np.diff(y, axis=1) / 2)).sum(1)
    if limit == 1:
        return np.asarray(area, np.float64)
    chance = limit**2 / 2
    return np.asarray((1 + (area - chance) / (limit - chance)) / 2, np.float64)
