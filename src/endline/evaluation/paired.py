"""Which of several detectors is ahead, on the same tested parts: a paired bootstrap of the AUROC's differences."""

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.evaluation.metrics import RESAMPLES, unit_wins

LEVELS = (0.025, 0.975)
COLUMNS = ("name", "auroc", "low", "high", "behind", "behind_low", "behind_high", "runs")


@dataclass(frozen=True)
class LabelledScores:
    """What one run says of its test set; one entry a labelled item.

    Attributes:
        normal, anomalous: scores, (n,) and (m,).
        normal_units, anomalous_units: the physical part that each of them shows, (n,) and (m,).

    Example:
        >>> LabelledScores(np.array([0.0]), np.array([1.0]), np.array(["a"]), np.array(["b"])).normal.shape
        (1,)
    """

    normal: NDArray[np.float64]
    anomalous: NDArray[np.float64]
    normal_units: NDArray[Any]
    anomalous_units: NDArray[Any]


def who_is_ahead(
    runs: Mapping[Hashable, Mapping[Hashable, LabelledScores]], *, seed: int = 0, resamples: int = RESAMPLES
) -> pd.DataFrame:
    """Mean AUROC of each method over its runs, and how far it is behind the first, with 95 % intervals.

    Whole parts are drawn anew with replacement, normal and faulty ones apart, and the same draw counts for all methods
    and for all runs that test a part (folds and seeds test the same faulty parts, so their figures hang together).
    Only runs that all methods have are compared. The intervals are those of the test sample; how a figure moves with
    the seed is not in them. The first is the one with the best figure here, so its own interval is a little too high
    (the best of many). Percentile bootstrap as in `auroc`; the paired comparison is that of DeLong, DeLong and
    Clarke-Pearson (1988), without their assumption that items are independent parts.

    Args:
        runs: method -> run (its seed, its fold) -> what it said.
        seed: of the draws.
        resamples: number of draws.

    Returns:
        one row a method, in the given order: `name`, `auroc, low, high`, and `behind, behind_low, behind_high`, the
        AUROC of the first less its own (0 for the first itself); an interval above 0 says that the first is ahead; and
        `runs`, how many were compared. No rows where the methods have no run in common.

    Example:
        >>> units = (np.array(list("abc")), np.array(list("xyz")))
        >>> good = LabelledScores(np.array([0.0, 1.0, 2.0]), np.array([3.0, 4.0, 5.0]), *units)
        >>> poor = LabelledScores(np.array([0.0, 4.0, 2.0]), np.array([3.0, 4.0, 1.0]), *units)
        >>> table = who_is_ahead({"good": {"0": good}, "poor": {"0": poor}})
        >>> table.round(2)[["name", "auroc", "behind"]].values.tolist()
        [['good', 1.0, 0.0], ['poor', 0.61, 0.39]]
    """
    common = [run for run in next(iter(runs.values()), {}) if all(run in own for own in runs.values())]
    if not common:
        return pd.DataFrame(columns=list(COLUMNS))
    every = [tested for own in runs.values() for tested in (own[run] for run in common)]
    rng = np.random.default_rng(seed)
    good = _draws(rng, (tested.normal_units for tested in every), resamples)
    bad = _draws(rng, (tested.anomalous_units for tested in every), resamples)
    measured = {name: [_resampled(own[run], good, bad) for run in common] for name, own in runs.items()}
    means = {name: float(np.mean([auroc for auroc, _ in of_runs])) for name, of_runs in measured.items()}
    drawn = {name: _mean([draws for _, draws in of_runs]) for name, of_runs in measured.items()}
    first = max(means, key=lambda name: means[name])
    rows = []
    for name, mean in means.items():
        own, behind = (np.nanquantile(values, LEVELS) for values in (drawn[name], drawn[first] - drawn[name]))
        rows.append((name, mean, *own.tolist(), means[first] - mean, *behind.tolist(), len(common)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


@dataclass(frozen=True)
class AurocDifference:
    """By how much one method is ahead of another on the same tested parts.

    Attributes:
        first, second: their AUROC.
        low, high: bounds of the difference, first less second, each of 95 % by itself.

    Example:
        >>> AurocDifference(first=0.9, second=0.8, low=0.05, high=0.15).low
        0.05
    """

    first: float
    second: float
    low: float
    high: float


def auroc_difference(
    first: LabelledScores, second: LabelledScores, *, seed: int = 0, resamples: int = RESAMPLES
) -> AurocDifference:
    """Difference of two AUROCs by the paired bootstrap of `who_is_ahead`, with one-sided bounds.

    Args:
        first: what a method says of items of both classes.
        second: what another says of the same.
        seed: of the draws.
        resamples: number of draws.

    Example:
        >>> units = (np.array(list("abc")), np.array(list("xyz")))
        >>> good = LabelledScores(np.array([0.0, 1.0, 2.0]), np.array([3.0, 4.0, 5.0]), *units)
        >>> auroc_difference(good, good)
        AurocDifference(first=1.0, second=1.0, low=0.0, high=0.0)
    """
    rng = np.random.default_rng(seed)
    good = _draws(rng, (first.normal_units, second.normal_units), resamples)
    bad = _draws(rng, (first.anomalous_units, second.anomalous_units), resamples)
    (own, drawn), (other, others) = (_resampled(tested, good, bad) for tested in (first, second))
    low, high = np.nanquantile(drawn - others, (0.05, 0.95)).tolist()
    return AurocDifference(own, other, low, high)


def _mean(draws: list[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Mean over runs; a draw may leave a small fold without a part, which then says nothing, of all methods alike."""
    table = np.stack(draws)
    known = (~np.isnan(table)).sum(0).astype(np.float64)
    known[known == 0] = np.nan
    return np.asarray(np.nansum(table, 0) / known, np.float64)


@dataclass(frozen=True)
class _Draws:
    """How often each unit was drawn: `units` sorted (u,), `counts` (resamples, u)."""

    units: NDArray[Any]
    counts: NDArray[np.int64]

    def of(self, units: NDArray[Any]) -> NDArray[np.int64]:
        return self.counts[:, np.searchsorted(self.units, units)]


def _draws(rng: np.random.Generator, units: Iterable[NDArray[Any]], resamples: int) -> _Draws:
    every = np.unique(np.concatenate(list(units)))
    return _Draws(every, rng.multinomial(len(every), np.full(len(every), 1 / len(every)), resamples))


def _resampled(tested: LabelledScores, good: _Draws, bad: _Draws) -> tuple[float, NDArray[np.float64]]:
    """AUROC of one run as it is, and by each draw (resamples,); NaN where a draw leaves a class empty."""
    columns_of, rows_of = (np.unique(of, return_inverse=True) for of in (tested.normal_units, tested.anomalous_units))
    wins, per_row, per_column = unit_wins(tested.normal, tested.anomalous, columns_of[1], rows_of[1])
    rows, columns = bad.of(rows_of[0]), good.of(columns_of[0])
    pairs = ((rows @ per_row) * (columns @ per_column)).astype(np.float64)
    pairs[pairs == 0] = np.nan
    area = wins.sum() / (len(tested.normal) * len(tested.anomalous))
    return float(area), ((rows @ wins) * columns).sum(1) / pairs
