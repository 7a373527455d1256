"""How well detectors tell synthetic faults from normals, and which of several is taken: no real fault is looked at."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.errors import EndlineError
from endline.evaluation.metrics import unit_wins
from endline.samples import NORMAL

Numbers = NDArray[np.float64]
MARGIN = 0.01  # AUROC
ALIKE = 1e-9  # difference of two AUROCs that is rounding


@dataclass(frozen=True)
class Judgement:
    """How well a detector tells the synthetic faults of held-out normals.

    Attributes:
        by_kind: AUROC of each kind of fault, the mean over the divisions into fitted and held-out parts.
        by_division: mean over the kinds of AUROC, of each division.
        without: of each division, (parts,), the same without each of its held-out parts: for standard errors.

    Example:
        >>> Judgement({"spike": 0.9, "drift": 0.7}, (0.82, 0.78)).criterion
        0.8
    """

    by_kind: Mapping[str, float]
    by_division: tuple[float, ...]
    without: tuple[Numbers, ...] = field(default=(), repr=False)

    @property
    def criterion(self) -> float:
        """Mean over the kinds of fault of AUROC."""
        return float(np.mean(self.by_division))


@dataclass(frozen=True)
class Decision:
    """Which candidate is taken.

    Attributes:
        chosen: its name: the first of those that are as good as the best one, as far as it is known.
        best: name of the candidate with the largest criterion.
        behind: criterion of the best one less that of each.
        error: standard error of that difference, of each.
        criterion: of the best one.
        default: candidate that is taken where no other is surely better; None: there is none.

    Example:
        >>> Decision("pca", "pca", {"pca": 0.0}, {"pca": 0.0}, 0.912).reason
        'pca tells synthetic faults of held-out good parts best (mean AUROC 0.912).'
    """

    chosen: str
    best: str
    behind: Mapping[str, float]
    error: Mapping[str, float]
    criterion: float
    default: str | None = None

    @property
    def reason(self) -> str:
        """Why it is taken, in a sentence."""
        best = f"{self.best} tells synthetic faults of held-out good parts best (mean AUROC {self.criterion:.3f})"
        if self.chosen == self.best:
            return f"{best}."
        why = "the default" if self.chosen == self.default else "the quicker one by the order of the candidates"
        return (
            f"{best}; {self.chosen} is taken: it is behind by {self.behind[self.chosen]:.3f} only (standard error "
            f"{self.error[self.chosen]:.3f}), and is {why}."
        )


def judged(divisions: Sequence[pd.DataFrame]) -> Judgement:
    """Judgement of the scores that a detector gives to copies of held-out normals, with faults and without.

    A faulty copy is compared with the normals of all other parts: beside its own original nearly every fault shows.

    Args:
        divisions: one table for each division, one row a copy, columns `score`, `kind` (of the fault, or `normal`) and
            `unit` (the physical part whose copy it is).

    Raises:
        EndlineError: when no fault can be compared with the normal of another part.

    Example:
        >>> kinds = ["normal", "normal", "dent", "dent"]
        >>> table = pd.DataFrame({"unit": ["a", "b", "a", "b"], "kind": kinds, "score": [0.0, 1.0, 2.0, 0.5]})
        >>> judged([table]).by_kind
        {'dent': 1.0}
    """
    kinds = sorted(set.union(*(set(table["kind"]) for table in divisions)) - {NORMAL})
    compared = {kind: [_Wins.of(table, kind) for table in divisions] for kind in kinds}
    known = {kind: each for kind, each in compared.items() if all(wins.pairs.any() for wins in each)}
    if not known:
        fewest = min(table["unit"].nunique() for table in divisions)
        raise EndlineError(
            f"Synthetic faults of {fewest} held-out part(s) are too few to compare detectors: record more good parts, "
            "or name a detector."
        )
    by_kind = {kind: float(np.mean([wins.auroc for wins in each])) for kind, each in known.items()}
    of_divisions = list(zip(*known.values(), strict=True))
    means = tuple(float(np.mean([wins.auroc for wins in each])) for each in of_divisions)
    return Judgement(by_kind, means, tuple(np.mean([wins.without for wins in each], 0) for each in of_divisions))


def decided(judgements: Mapping[str, Judgement], margin: float = MARGIN, default: str | None = None) -> Decision:
    """The default where no candidate is surely better, else the first, in the order given, as good as the best one.

    As good is what lies within one standard error of the best (Breiman et al. 1984, ch. 3.4). Copies of few parts
    decide little, and then what has carried over from set to set says more. Where the default is behind, or is not
    among the candidates, the one that is taken for being quicker may not be behind by more than a margin either: of few
    parts the error is as large as what detectors differ by.

    The error is that of the difference to the best one on the same copies: by leaving out one held-out part after the
    other (jackknife, Efron 1982, chapter 3), or half the difference between two divisions where that is more, so that a
    lead that another division does not show counts for little. Between equal criteria that one counts as the best which
    leads in more kinds of faults, and then the more stable one.

    Args:
        judgements: candidate -> its judgement, on the same copies, the quickest candidate first.
        margin: AUROC that may be given up for a quicker candidate.
        default: name of the candidate that is taken unless another is surely better; it may be one that was not judged.

    Example:
        >>> half, parts = Judgement({"spike": 0.5}, (0.5,), (np.full(5, 0.5),)), (np.full(5, 0.9),)
        >>> decided({"quick": half, "slow": Judgement({"spike": 0.9}, (0.9,), parts)}).chosen
        'slow'
    """
    best = max(judgements, key=lambda name: _rank(judgements[name], judgements))
    behind = {name: max(0.0, judgements[best].criterion - each.criterion) for name, each in judgements.items()}
    error = {name: standard_error(judgements[best], each) for name, each in judgements.items()}
    if default is not None and default in judgements and behind[default] <= error[default] + ALIKE:
        chosen = default
    else:
        chosen = next(name for name in judgements if behind[name] <= min(error[name], margin) + ALIKE)
    return Decision(chosen, best, behind, error, judgements[best].criterion, default)


def standard_error(first: Judgement, second: Judgement) -> float:
    """Standard error of the difference of two criteria on the same copies, see `decided`.

    Example:
        >>> one, other = Judgement({}, (0.9, 0.8)), Judgement({}, (0.7, 0.7))
        >>> round(standard_error(one, other), 3)
        0.05
    """
    differences = np.subtract(first.by_division, second.by_division)
    variance = 0.0
    for ours, theirs in zip(first.without, second.without, strict=True):
        left_out = ours - theirs
        variance += (len(left_out) - 1) * float(np.var(left_out)) / len(differences) ** 2
    between = float(np.ptp(differences)) / 2 if len(differences) > 1 else 0.0
    return max(float(np.sqrt(variance)), between)


def leads(judgement: Judgement, among: Mapping[str, Judgement]) -> float:
    """Share of the kinds of faults that no other candidate tells better.

    Example:
        >>> one, other = Judgement({"a": 0.9, "b": 0.6}, (0.75,)), Judgement({"a": 0.8, "b": 0.8}, (0.8,))
        >>> leads(one, {"one": one, "other": other})
        0.5
    """
    first = [
        area + ALIKE >= max(each.by_kind[kind] for each in among.values()) for kind, area in judgement.by_kind.items()
    ]
    return float(np.mean(first))


def _rank(judgement: Judgement, among: Mapping[str, Judgement]) -> tuple[float, float, float]:
    return round(judgement.criterion, 9), leads(judgement, among), -float(np.ptp(judgement.by_division))


@dataclass(frozen=True)
class _Wins:
    """How often the copies of each part with a fault stand above the normals of each other part, and of how many pairs.

    Both tables are (parts, parts), in the order of the parts' names; nothing is compared within a part.
    """

    won: Numbers
    pairs: Numbers

    @classmethod
    def of(cls, table: pd.DataFrame, kind: str) -> "_Wins":
        """The wins of a kind of fault."""
        units, number = np.unique(table["unit"].to_numpy(str), return_inverse=True)
        scores = table["score"].to_numpy(np.float64)
        normal, faulty = (np.flatnonzero((table["kind"] == name).to_numpy()) for name in (NORMAL, kind))
        columns, column = np.unique(number[normal], return_inverse=True)
        rows, row = np.unique(number[faulty], return_inverse=True)
        wins, per_row, per_column = unit_wins(scores[normal], scores[faulty], column, row)
        won, pairs = np.zeros((len(units), len(units))), np.zeros((len(units), len(units)))
        won[np.ix_(rows, columns)], pairs[np.ix_(rows, columns)] = wins, np.outer(per_row, per_column)
        apart = 1.0 - np.eye(len(units))
        return cls(won * apart, pairs * apart)

    @property
    def auroc(self) -> float:
        return float(self.won.sum() / self.pairs.sum())

    @property
    def without(self) -> Numbers:
        """AUROC without each part, (parts,); with all where nothing else is left."""
        won, pairs = _sums_without(self.won), _sums_without(self.pairs)
        return np.where(pairs > 0, won / np.maximum(pairs, 1), self.auroc)


def _sums_without(table: Numbers) -> Numbers:
    """Sum of a table (parts, parts), whose diagonal is 0, without the row and the column of each part, (parts,)."""
    return np.asarray(table.sum() - table.sum(0) - table.sum(1), np.float64)
