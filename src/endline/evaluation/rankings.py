"""Held-out normals that an item is ranked among: all together, or those of each domain by itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from endline.evaluation.thresholds import conformal_p_values, promised_bound

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Ranking:
    """Held-out normals of one domain, or of all.

    Attributes:
        domain: its name; empty for all.
        rows: (n,) their numbers among all held-out normals.
        weights: (n,) those of one physical part add up to 1.
        units: number of their parts.
        folds: number of folds that they are in.

    Example:
        >>> target = rankings(units=[0, 1, 1], folds=[0, 0, 0], domains=["source", "target", "target"])[1]
        >>> target.domain, target.units, target.threshold(np.array([9.0, 1.0, 2.0]), rate=0.5)
        ('target', 1, 2.0)
    """

    domain: str
    rows: NDArray[np.int64] = field(repr=False)
    weights: Numbers = field(repr=False)
    units: int
    folds: int

    def p_values(self, excess: Numbers, *, interpolate: bool) -> Numbers:
        """p-value (m,) of each judged sample; arguments as of `conformal_p_values`, `excess` over all (m, all)."""
        return conformal_p_values(excess[:, self.rows], self.weights, interpolate=interpolate)

    def threshold(self, held_out: Numbers, rate: float) -> float:
        """The score above which the p-value is at most a rate of 1 / (1 + units) or more; scores of all, (all,)."""
        scores = held_out[self.rows]
        order = np.argsort(-scores, kind="stable")
        reached = np.cumsum(self.weights[order])  # by an item just below each of them, the largest first
        return float(scores[order][np.argmax(reached > rate * (self.units + 1) - 1 + 1e-9)])

    def bound(self, rate: float, *, interpolated: bool) -> float:
        """Proved bound of the false-alarm rate, as `promised_bound` has it."""
        return promised_bound(rate, self.units, self.folds, interpolated=interpolated)


def rankings(units: Sequence[int], folds: Sequence[int], domains: Sequence[str] = ()) -> tuple[Ranking, ...]:
    """The held-out normals of each domain, sorted by its name; all together where no domains are given.

    Args:
        units: (n,) number of the physical part that each held-out normal shows.
        folds: (n,) number of the fold that scored each.
        domains: (n,) name of the domain of each, or none.

    Example:
        >>> [ranking.units for ranking in rankings(units=[0, 0, 1], folds=[0, 0, 0])]
        [2]
    """
    unit, fold, names = np.asarray(units), np.asarray(folds), np.asarray(domains or [""] * len(units))
    of_domains = []
    for name in np.unique(names):
        rows = np.flatnonzero(names == name)
        _, number, shown = np.unique(unit[rows], return_inverse=True, return_counts=True)
        of_domains.append(Ranking(str(name), rows, 1 / shown[number], len(shown), len(np.unique(fold[rows]))))
    return tuple(of_domains)
