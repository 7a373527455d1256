"""The axis of a score histogram: linear, or logarithmic where a few far scores would hide the others."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 36


@dataclass(frozen=True)
class ScoreScale:
    """How scores are laid on an axis: `linear`, `log`, or `asinh`, which is linear up to about `width` from 0.

    Example:
        >>> ScoreScale("log")(np.array([1.0, np.e])).tolist()
        [0.0, 1.0]
    """

    name: str
    width: float = 1.0

    def __call__(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Positions on the axis."""
        if self.name == "linear":
            return scores
        return np.log(scores) if self.name == "log" else np.arcsinh(scores / self.width)

    def inverse(self, positions: NDArray[np.float64]) -> NDArray[np.float64]:
        """Scores at the positions."""
        if self.name == "linear":
            return positions
        return np.exp(positions) if self.name == "log" else self.width * np.sinh(positions)


def score_edges(
    groups: Mapping[str, NDArray[np.float64]], threshold: float | None
) -> tuple[NDArray[np.float64], ScoreScale]:
    """Bin edges of the score axis, ascending, and its scale.

    Args:
        groups: finite scores by what is known of them, at least one; the normals are to be seen apart.
        threshold: one of the edges, so that no bar straddles it; None for none.
    """
    values = np.concatenate(list(groups.values()))
    normals = groups.get("normal", groups.get("calibrating normals", values))
    scale = ScoreScale("linear")
    if _is_squeezed(values, normals):
        positive = values.min() > 0 and (threshold is None or threshold > 0)
        usual = float(np.subtract(*np.quantile(normals, [0.95, 0.05])))
        if positive:
            scale = ScoreScale("log")
        elif usual > 0:
            scale = ScoreScale("asinh", usual)
    values, normals = scale(values), scale(normals)
    marks = [] if threshold is None else [float(scale(np.asarray(threshold, np.float64)))]
    low, high = float(values.min()), float(values.max())
    if _is_squeezed(values, normals):
        q10, q90 = np.quantile(values, [0.1, 0.9])
        spread = max(q90 - q10, float(np.ptp(normals)))
        low, high = max(low, q10 - 2 * spread), min(high, q90 + 2 * spread)
    low, high = min([low, *marks]), max([high, *marks])
    margin = 0.03 * (high - low) or 0.01 * abs(low) or 0.5
    low, high = low - margin, high + margin
    step = (high - low) / BINS
    if marks:  # an edge on the threshold, so that no bar straddles it
        low = marks[0] - math.ceil((marks[0] - low) / step) * step
        high = marks[0] + math.ceil((high - marks[0]) / step) * step
    edges = scale.inverse(np.linspace(low, high, round((high - low) / step) + 1))
    if threshold is not None:
        edges[int(np.abs(edges - threshold).argmin())] = threshold  # exactly, whatever the scale rounded
    return edges, scale


def round_scores(edges: NDArray[np.float64], width: float) -> list[float]:
    """0 and round numbers on both sides, none of which lies in the linear part of an `asinh` axis."""
    reach = max(float(np.abs(edges).max()), 2 * width)
    least, most = math.floor(math.log10(2 * width)), math.floor(math.log10(reach))
    few = most - least < 3
    powers = [10.0**power for power in range(least, most + 1, 1 if few else 1 + (most - least) // 5)]
    beside = [part * power for power in powers for part in ((1, 2, 5) if few else (1,)) if part * power >= 2 * width]
    return [tick for tick in (*(-tick for tick in reversed(beside)), 0.0, *beside) if edges[0] <= tick <= edges[-1]]


def _is_squeezed(values: NDArray[np.float64], normals: NDArray[np.float64]) -> bool:
    """Whether a few far scores leave the bulk, or the normals, too little of a plain axis to be seen."""
    q10, q90 = np.quantile(values, [0.1, 0.9])
    n5, n95 = np.quantile(normals, [0.05, 0.95])
    reach = np.ptp(values)
    return bool(0 < q90 - q10 < 0.15 * reach or 0 < n95 - n5 < 0.06 * reach)
