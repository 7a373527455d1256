"""Fit what a run needs: detectors of all parts, and scores of normal items that their detector never saw."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.backbones.pyramids import PyramidSettings
from endline.detectors.base import Detector
from endline.detectors.progress import Progress
from endline.detectors.scoring import ALL, by_part, detector_rows, score_rows
from endline.errors import EndlineError
from endline.feature_set import FeatureSet
from endline.samples import item_of

CALIBRATIONS = ("auto", "cross_fit", "hold_out")
PARTS = ("auto", "joint", "each", "shared")
NewProgress = Callable[[str], Progress]


@dataclass(frozen=True)
class FitPlan:
    """How detectors are fitted and normal items held out for the threshold.

    Attributes:
        calibration: `hold_out` keeps a share of the training items away from the fit (the stated false-alarm rate
            is then guaranteed); `cross_fit` holds out every training item once, from a detector fitted on the
            other folds, and fits the final detector on all (for few items; the rate then holds nearly, without
            the guarantee); `auto` cross-fits below `few` training items.
        folds: folds of the cross-fit, at most one an item.
        share: share of the training items that is held out.
        few: training items below which `auto` cross-fits.
        parts: `joint` fits one detector on whole items, the maps of their parts one below the other; `each` fits one
            a part (fold, unfold), whose scores are joined afterwards; `shared` fits one for all parts, as published;
            `auto` does what the detector prefers.
        ensemble_size: detectors with different seeds whose scores are averaged.

    Raises:
        EndlineError: for a value that cannot be.

    Example:
        >>> FitPlan(calibration="hold_out", share=0.2).ensemble_size
        1
    """

    calibration: str = "auto"
    folds: int = 5
    share: float = 0.25
    few: int = 100
    parts: str = "auto"
    ensemble_size: int = 1

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

    def held_out(self, items: NDArray[Any], seed: int) -> tuple[list[NDArray[Any]], bool]:
        """Names of the items that are held out together, and whether a final detector is fitted on all.

        Args:
            items: names of the training items, each once.
            seed: of the division.

        Example:
            >>> folds, on_all = FitPlan(folds=2).held_out(np.array(["a", "b", "c"]), seed=0)
            >>> sorted(len(fold) for fold in folds), on_all
            ([1, 2], True)
        """
        order = np.random.default_rng(seed).permutation(items)
        if self.calibration == "cross_fit" or (self.calibration == "auto" and len(items) < self.few):
            return np.array_split(order, min(self.folds, len(items))), True
        return [order[: max(1, round(self.share * len(items)))]], False


@dataclass(frozen=True)
class Fitted:
    """Result of `fit_detectors`.

    Attributes:
        detectors: by name `<part>/<member>`.
        history: columns `part, member, epoch, loss`, one row an epoch of the final fits; empty for closed forms.
        held_out: rows of the sample table (of the items, if parts are joint) that were held out, with their `score`.
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
    histories: list[pd.DataFrame] = field(default_factory=list)  # of the final fits
    seconds: float = 0.0

    def fit(self, rows: NDArray[np.int64], stage: str) -> dict[str, Detector[Any]]:
        """Detectors fitted on some rows, by name."""
        (table, view), detectors = self.training, {}
        for part, chosen in by_part(table, rows, shared=self.shared):
            for member in range(self.ensemble_size):
                name = f"{part}/{member}"
                detectors[name] = detector = self.new_detector()
                history = detector.fit(
                    view.take(chosen),
                    seed=self.seed + 1000 * member,
                    progress=self.new_progress(f"{stage}/{name}"),
                    rows=table.iloc[chosen],
                    outliers=self._outliers_of(part),
                    pyramid=self.pyramid,
                )
                self.seconds += history.seconds
                if stage == "final" and history.losses:
                    epochs = range(1, len(history.losses) + 1)
                    columns = {"part": part, "member": member, "epoch": epochs, "loss": history.losses}
                    self.histories.append(pd.DataFrame(columns))
        return detectors

    def scored(self, detectors: dict[str, Detector[Any]], rows: NDArray[np.int64]) -> pd.DataFrame:
        """Rows of the table with their `score`."""
        table, view = self.training
        return table.iloc[rows].assign(score=score_rows(table.iloc[rows], view.take(rows), detectors))

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

    Raises:
        EndlineError: when too few items are left to learn from.

    Example:
        >>> from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
        >>> table = pd.DataFrame({"sample_id": [f"{row}.png" for row in range(20)], "part": None, "split": "train"})
        >>> arrays = {"scale_0": np.random.default_rng(0).standard_normal((20, 3, 4, 4)).astype("f4")}
        >>> fitted = fit_detectors(table, FeatureSet(arrays), lambda: Gaussian(GaussianConfig()), FitPlan(), seed=0)
        >>> list(fitted.detectors), len(fitted.held_out)
        (['whole/0'], 20)
    """
    detector = new_detector()
    way = detector.parts if plan.parts == "auto" else plan.parts
    read = features.only(detector.required, detector.optional)
    no_control = ~samples.get("control", pd.Series(False, index=samples.index)).to_numpy(bool)
    split = samples["split"].to_numpy(str)

    def rows_of(chosen: NDArray[np.bool_]) -> tuple[pd.DataFrame, FeatureSet]:
        rows = np.flatnonzero(chosen & no_control)
        return detector_rows(samples.iloc[rows], read.take(rows), joint=way == "joint")

    training = rows_of(split == "train")
    outliers = rows_of((split == "outlier") & detector.uses_outliers)
    table, size, shared = training[0], plan.ensemble_size, way == "shared"
    fits = _Fits(training, outliers, new_detector, size, shared, seed, new_progress, pyramid)
    items, everything = item_of(table).to_numpy(), np.arange(len(table))
    folds, on_all = plan.held_out(np.unique(items), seed)
    held = []
    for number, fold in enumerate(folds):
        inside = np.isin(items, fold)
        detectors = fits.fit(everything[~inside], f"cross{number}" if on_all else "final")
        held.append(fits.scored(detectors, everything[inside]))
    if on_all:
        detectors = fits.fit(everything, "final")
    columns = ["part", "member", "epoch", "loss"]
    history = pd.concat(fits.histories, ignore_index=True) if fits.histories else pd.DataFrame(columns=columns)
    return Fitted(detectors, history, pd.concat(held).sort_index(), fits.seconds)
