"""Fit what a run needs: detectors of all parts, and scores of normal items that their detector never saw."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.backbones.pyramids import PyramidSettings
from endline.detectors.base import Detector
from endline.detectors.progress import Progress
from endline.detectors.scoring import ALL, by_part, detector_rows, score_rows, with_scores
from endline.errors import EndlineError
from endline.feature_set import FeatureSet
from endline.samples import item_of

CALIBRATIONS = ("auto", "cross_fit", "hold_out")
PARTS = ("auto", "joint", "each", "shared")
NewProgress = Callable[[str], Progress]


@dataclass(frozen=True)
class FitPlan:
    """How detectors are fitted and normal parts held out for the threshold.

    A physical part (`unit`) is held out with all its recordings, and the domains are held out in their proportion.

    Attributes:
        calibration: `hold_out` keeps some of the training parts away from the fit (split conformal, the stated
            false-alarm rate is then guaranteed); `cross_fit` fits a detector on all folds but one, for each fold, and
            judges by all of them (cross-conformal, every part counts for the fit and for the threshold; for few parts);
            `auto` cross-fits below `few` training parts.
        folds: folds of the cross-fit, at most one a part. With fewer of them each detector learns from fewer parts, and
            the false-alarm rate stays farther below the stated one, at the cost of recall.
        share: share of the training parts that is held out, near which the number is chosen that wastes none.
        few: training parts below which `auto` cross-fits.
        parts: `joint` fits one detector on whole items, the maps of their parts one below the other; `each` fits one
            a part (fold, unfold), whose scores are joined afterwards; `shared` fits one for all parts, as published;
            `auto` does what the detector prefers.
        ensemble_size: detectors with different seeds whose scores are averaged.
        rate: false-alarm rate that the threshold is to promise.

    Raises:
        EndlineError: for a value that cannot be.

    Example:
        >>> FitPlan(calibration="hold_out", share=0.2).ensemble_size
        1
    """

    calibration: str = "auto"
    folds: int = 10
    share: float = 0.25
    few: int = 100
    parts: str = "auto"
    ensemble_size: int = 1
    rate: float = 0.05

    def __post_init__(self) -> None:
        if self.calibration not in CALIBRATIONS:
            raise EndlineError(
                f"There is no calibration '{self.calibration}': choose one of {', '.join(CALIBRATIONS)}."
            )
        if self.parts not in PARTS:
            raise EndlineError(f"There is no way '{self.parts}' to fit parts: choose one of {', '.join(PARTS)}.")
        if self.folds < 2 or not 0 < self.share < 1 or self.ensemble_size < 1:
            raise EndlineError(
                f"folds={self.folds} must be at least 2, share={self.share} between 0 and 1, "
                f"ensemble_size={self.ensemble_size} at least 1: correct the calibration."
            )

    def held_out(self, units: NDArray[Any], seed: int, domains: NDArray[Any] | None = None) -> list[NDArray[Any]]:
        """Names of the units that are held out together: of each fold, or of the one hold-out.

        Args:
            units: names of the training units, each once.
            seed: of the division.
            domains: domain of each unit, (units,), where there are any.

        Example:
            >>> folds = FitPlan(folds=2).held_out(np.array(["a", "b", "c"]), seed=0)
            >>> sorted(len(fold) for fold in folds)
            [1, 2]
        """
        order = np.random.default_rng(seed).permutation(len(units))
        if domains is not None:  # each at the same pace, so that every stretch of the order has its share of each
            of = pd.Series(domains[order]).fillna("")
            place = (of.groupby(of).cumcount() + 0.5) / of.groupby(of).transform("size")
            order = order[np.argsort(place.to_numpy(), kind="stable")]
        if self.cross_fits(len(units)):
            return np.array_split(units[order], min(self.folds, len(units)))
        return [units[order[: whole_hold_out(len(units), self.share, self.rate)]]]

    def cross_fits(self, units: int) -> bool:
        """Whether a number of training units is cross-fitted."""
        return self.calibration == "cross_fit" or (self.calibration == "auto" and units < self.few)


def whole_hold_out(parts: int, share: float, rate: float) -> int:
    """Number of parts to hold out of some, near a share of them, with which (n + 1) x rate is whole: none is wasted.

    At most half of the parts are held out; where that cannot promise the rate it is the share.

    Example:
        >>> whole_hold_out(154, 0.25, 0.05), whole_hold_out(154, 0.05, 0.05), whole_hold_out(20, 0.25, 0.05)
        (39, 19, 5)
    """
    near = share * parts
    wanted = max(1, round((near + 1) * rate))
    sizes = [math.ceil(flagged / rate - 1e-9) - 1 for flagged in (wanted, wanted - 1) if flagged > 0]
    return next((size for size in sizes if size <= parts // 2), max(1, round(near)))


def held_out_units(training: pd.DataFrame, plan: FitPlan, seed: int) -> list[NDArray[Any]]:
    """Names of the units of training rows that a plan holds out together, the domains in their proportion.

    Example:
        >>> table = pd.DataFrame({"unit": ["a", "a", "b", "c"]})
        >>> [fold.tolist() for fold in held_out_units(table, FitPlan(calibration="cross_fit", folds=3), seed=0)]
        [['c'], ['a'], ['b']]
    """
    firsts = training.drop_duplicates("unit").sort_values("unit")
    domains = firsts["domain"].to_numpy(object) if "domain" in firsts and firsts["domain"].notna().any() else None
    return plan.held_out(firsts["unit"].to_numpy(str), seed, domains)


@dataclass(frozen=True)
class Fitted:
    """Result of `fit_detectors`.

    Attributes:
        detectors: by name, see `scoring.Detectors`.
        history: columns `part, fold, member, epoch, loss`, one row an epoch; empty for closed forms.
        held_out: rows of the sample table (of the items, if parts are joint) that were held out, with the number of
            their `fold` and the `score` by its detectors.
        seconds: time of all fits together.

    Example:
        >>> Fitted({}, pd.DataFrame(), pd.DataFrame(), seconds=0.0).detectors
        {}
    """

    detectors: dict[str, Detector[Any]]
    history: pd.DataFrame
    held_out: pd.DataFrame
    seconds: float


@dataclass
class _Fits:
    """Fits of the detectors of all parts on rows of the training table, one set after the other."""

    training: tuple[pd.DataFrame, FeatureSet]
    outliers: tuple[pd.DataFrame, FeatureSet]
    new_detector: Callable[[], Detector[Any]]
    ensemble_size: int
    shared: bool
    seed: int
    new_progress: NewProgress
    pyramid: PyramidSettings | None
    histories: list[pd.DataFrame] = field(default_factory=list)
    seconds: float = 0.0

    def fit(self, rows: NDArray[np.int64], fold: int) -> dict[str, Detector[Any]]:
        """Detectors of a fold, fitted on some rows, by name."""
        (table, view), detectors = self.training, {}
        for part, chosen in by_part(table, rows, shared=self.shared):
            for member in range(self.ensemble_size):
                name = f"{part}/{fold}" + (f"/{member}" if self.ensemble_size > 1 else "")
                detectors[name] = detector = self.new_detector()
                history = detector.fit(
                    view.take(chosen),
                    seed=self.seed + 1000 * member,
                    progress=self.new_progress(name),
                    rows=table.iloc[chosen],
                    outliers=self._outliers_of(part),
                    pyramid=self.pyramid,
                )
                self.seconds += history.seconds
                if history.losses:
                    epochs = range(1, len(history.losses) + 1)
                    columns = {"part": part, "fold": fold, "member": member, "epoch": epochs, "loss": history.losses}
                    self.histories.append(pd.DataFrame(columns))
        return detectors

    def scored(self, detectors: dict[str, Detector[Any]], rows: NDArray[np.int64], fold: int) -> pd.DataFrame:
        """Rows of the table with the `score` by the detectors of a fold that has not seen them."""
        table, view = self.training
        scores = score_rows(table.iloc[rows], view.take(rows), detectors)
        return with_scores(table.iloc[rows].assign(fold=fold), scores)

    def _outliers_of(self, part: str) -> FeatureSet:
        table, view = self.outliers
        if len(table) == 0 or part == ALL:
            return view
        return view.take(np.flatnonzero(table["part"].fillna("whole") == part))


def fit_detectors(
    samples: pd.DataFrame,
    features: FeatureSet,
    new_detector: Callable[[], Detector[Any]],
    plan: FitPlan,
    *,
    seed: int,
    new_progress: NewProgress = lambda name: Progress(),
    pyramid: PyramidSettings | None = None,
    folds: Sequence[NDArray[Any]] | None = None,
) -> Fitted:
    """Fit on the training rows alone, and where the method uses outliers on those too: no test row is read here.

    Args:
        samples: the sample table; `split` is `train`, `test` or `outlier` (a normal sample of another class).
        features: its feature set, row by row.
        new_detector: makes an unfitted detector.
        plan: what to fit.
        seed: of the folds and of every fit.
        new_progress: makes the progress of the fit with this name.
        pyramid: how maps and views were made, for detectors that go back to the image.
        folds: names of the units that are held out together; None: as the plan divides them.

    Raises:
        EndlineError: when too few items are left to learn from.

    Example:
        >>> from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
        >>> table = pd.DataFrame({"sample_id": [f"{row}.png" for row in range(20)], "part": None, "split": "train"})
        >>> arrays = {"scale_0": np.random.default_rng(0).standard_normal((20, 3, 4, 4)).astype("f4")}
        >>> five, new = FitPlan(folds=5), lambda: Gaussian(GaussianConfig())
        >>> fitted = fit_detectors(table, FeatureSet(arrays), new, five, seed=0)
        >>> list(fitted.detectors), fitted.held_out["fold"].value_counts().tolist()
        (['whole/0', 'whole/1', 'whole/2', 'whole/3', 'whole/4'], [4, 4, 4, 4, 4])
    """
    detector = new_detector()
    way = detector.parts if plan.parts == "auto" else plan.parts
    read = features.only(*detector.reads)
    no_control = ~samples.get("control", pd.Series(False, index=samples.index)).to_numpy(bool)
    split = samples["split"].to_numpy(str)
    known = samples if "unit" in samples else samples.assign(unit=item_of(samples))

    def rows_of(chosen: NDArray[np.bool_]) -> tuple[pd.DataFrame, FeatureSet]:
        rows = np.flatnonzero(chosen & no_control)
        return detector_rows(known.iloc[rows], read.take(rows), joint=way == "joint")

    training = rows_of(split == "train")
    outliers = rows_of((split == "outlier") & detector.uses_outliers)
    table, size, shared = training[0], plan.ensemble_size, way == "shared"
    fits = _Fits(training, outliers, new_detector, size, shared, seed, new_progress, pyramid)
    unit, held = table["unit"].to_numpy(str), []
    detectors: dict[str, Detector[Any]] = {}
    for number, fold in enumerate(held_out_units(table, plan, seed) if folds is None else folds):
        inside = np.isin(unit, fold)
        of_fold = fits.fit(np.flatnonzero(~inside), number)
        held.append(fits.scored(of_fold, np.flatnonzero(inside), number))
        detectors |= of_fold
    columns = ["part", "fold", "member", "epoch", "loss"]
    history = pd.concat(fits.histories, ignore_index=True) if fits.histories else pd.DataFrame(columns=columns)
    return Fitted(detectors, history, pd.concat(held).sort_index(), fits.seconds)
