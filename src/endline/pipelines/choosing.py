"""The node that chooses a detector where the parameter says `auto`: by synthetic faults of held-out normals alone."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from endline.array_store import ArrayStore
from endline.compute import Compute
from endline.detectors.base import Detector
from endline.detectors.candidates import AUTO, AutoSettings, auto_settings
from endline.detectors.cross_fitting import FitPlan, Fitted, fit_detectors, held_out_units
from endline.detectors.registry import build_detector
from endline.detectors.scoring import are_joint, detector_rows, score_rows, with_scores
from endline.errors import EndlineError
from endline.evaluation.calibration import calibrate
from endline.evaluation.synthetic_faults import Judgement, decided, judged, leads
from endline.evidence.station import Arrays, Preparation, Station
from endline.feature_set import FeatureSet
from endline.files import partial_name, remove
from endline.pipelines.detection.nodes import compute_of
from endline.pipelines.time_budget import TimeBudget
from endline.samples import OUTLIER, TRAIN, item_of

Settings = Mapping[str, Any]
FEWEST = 4  # training parts: two are held out, and two learned from
log = logging.getLogger(__name__)


def arrays_of(detector: Detector[Any]) -> Arrays:
    """What of the evidence a detector reads."""
    return Arrays(detector.required, detector.optional, detector.input_type, detector.light, detector.modality)


def choose(
    station: Station,
    samples: pd.DataFrame,
    source: Settings,
    inputs: Settings,
    run: Settings,
    auto: Settings,
    preparation: Settings,
    plan: Settings,
    verdict: Settings,
    detectors: Mapping[str, Settings],
) -> dict[str, Any]:
    """The detector of the run, and where that is `auto` how it was chosen.

    Some of the training parts are held out, each candidate is fitted to the others, and scores copies of the held-out
    normals, as they are and with synthetic faults. Of tested samples nothing but what a preparation is fitted on is
    read, and no label of a fault.

    Returns:
        `detector`, its name; `chosen`, the same where it was chosen, with `chosen_criterion` and `chosen_reason`, else
        None; `candidates`, a row each: `detector, seconds, left_out`, and if it was judged `criterion, behind, error,
        by_division, by_kind, leads`.
    """
    if run["detector"] != AUTO:
        return {"detector": run["detector"], **_about(None, None, None, [])}
    settings = auto_settings(auto)
    if len(settings.candidates) == 1:
        only = settings.candidates[0]
        return {"detector": only, **_about(only, None, f"{only} is the only candidate: nothing was compared.", [])}
    if settings.default not in (None, *settings.candidates):
        log.warning(
            "auto.default=%s is none of the candidates, so that none of them goes first: name one of them, or null.",
            settings.default,
        )
    if station.synthesise is None:
        raise EndlineError(f"The station {station.name} makes no synthetic faults: name a detector, not auto.")
    folder, clock = Path(source["folder"]), TimeBudget(60 * settings.minutes)
    known = _learned_from(samples)
    held_out = _divisions(known, settings, run["seed"])

    @cache  # fitting a preparation may read many files
    def prepared(wanted: Arrays) -> Preparation:
        return station.prepare(samples, folder, inputs["facts"], preparation, wanted)

    with _scratch(Path(run["store"])) as scratch:
        trial = _Trial(
            known,
            held_out,
            _Evidence(
                station,
                folder,
                scratch,
                compute_of(run),
                prepared,
                -(-settings.items // len(held_out)),
                run["seed"],
                clock,
            ),
            replace(FitPlan(**plan, rate=verdict["false_alarm_rate"]), ensemble_size=1),
            verdict["join"],
            clock,
        )
        rows = [
            trial.row(name, lambda name=name: build_detector(name, detectors, compute_of(run)))  # type: ignore[misc]
            for name in settings.candidates
        ]
    return _choice(rows, trial.judgements, settings)


@dataclass
class _Evidence:
    """Arrays of what trains, and of copies of what is held out; each is made once, whichever candidates read it."""

    station: Station
    folder: Path
    scratch: Path
    compute: Compute
    prepared: Callable[[Arrays], Preparation]
    items: int
    seed: int
    clock: TimeBudget
    copies: dict[int, pd.DataFrame] = field(default_factory=dict)

    def of_files(self, samples: pd.DataFrame, preparation: Preparation, folder: Path | None = None) -> FeatureSet:
        """Arrays of some samples."""
        store = ArrayStore(self.scratch / "store")
        recipe = preparation.recipe(samples, folder or self.folder, store, self.compute)
        return store.make(self.clock.timed(recipe))

    def of_copies(
        self, known: pd.DataFrame, units: NDArray[Any], division: int, preparation: Preparation
    ) -> tuple[pd.DataFrame, FeatureSet]:
        """Rows and arrays of copies of the held-out normals of a division."""
        folder = self.scratch / f"copies_{division}"
        if division not in self.copies:
            assert self.station.synthesise is not None  # asked before
            originals = known[_some(known, units, self.items)]
            self.copies[division] = self.station.synthesise(originals, self.folder, folder, preparation, self.seed)
        table = self.copies[division]
        return table, self.of_files(table, preparation, folder)


@dataclass
class _Trial:
    """Candidates fitted and judged one after the other, on the same divisions and the same copies."""

    known: pd.DataFrame
    held_out: Sequence[NDArray[Any]]
    evidence: _Evidence
    plan: FitPlan
    join: str
    clock: TimeBudget
    judgements: dict[str, Judgement] = field(default_factory=dict)

    def row(self, name: str, new: Callable[[], Detector[Any]]) -> dict[str, Any]:
        """What is to be said of a candidate, which is fitted and judged now, as far as there is time."""
        begun, left_out = time.monotonic(), None
        try:
            self.clock.check()
            self.judgements[name] = self._judged(new)
        except EndlineError as error:
            left_out = str(error)
            log.warning("The candidate %s is left out: %s", name, left_out)
        return {"detector": name, "seconds": round(time.monotonic() - begun, 1), "left_out": left_out}

    def _judged(self, new: Callable[[], Detector[Any]]) -> Judgement:
        detector = new()
        preparation = self.evidence.prepared(arrays_of(detector))
        features = self.evidence.of_files(self.known, preparation)
        copies = [
            self.evidence.of_copies(self.known, units, division, preparation)
            for division, units in enumerate(self.held_out)
        ]
        self.clock.fits = len(self.held_out)
        fitted = fit_detectors(
            self.known,
            features,
            new,
            self.plan,
            seed=self.evidence.seed,
            new_progress=self.clock.progress,
            pyramid=preparation.pyramid,
            folds=self.held_out,
        )
        return judged([self._scored(fitted, division, *made) for division, made in enumerate(copies)])

    def _scored(self, fitted: Fitted, division: int, copies: pd.DataFrame, features: FeatureSet) -> pd.DataFrame:
        """One row a copy, scored by the detectors that have not seen its part."""
        own = {name: each for name, each in fitted.detectors.items() if name.split("/")[1] == str(division)}
        rows, view = detector_rows(copies, features, joint=are_joint(own))
        scored = with_scores(rows, score_rows(rows, view, own))
        held_out = fitted.held_out[fitted.held_out["fold"] == division].assign(fold=0)
        return calibrate(held_out, rate=self.plan.rate, join=self.join).verdicts(scored)


def _learned_from(samples: pd.DataFrame) -> pd.DataFrame:
    """Rows that a detector learns from: normals, and outliers for the methods that use them."""
    control = samples.get("control", pd.Series(False, index=samples.index)).to_numpy(bool)
    return samples[samples["split"].isin([TRAIN, OUTLIER]).to_numpy() & ~control].reset_index(drop=True)


def _divisions(known: pd.DataFrame, settings: AutoSettings, seed: int) -> list[NDArray[Any]]:
    """Names of the units that are held out together, of each division: two divisions or more, of two units or more."""
    training = known[known["split"] == TRAIN]
    count = training["unit"].nunique()
    if count < FEWEST:
        raise EndlineError(
            f"detector=auto compares detectors on good parts that it holds out, and {count} that train are too few: "
            f"record more (at least {FEWEST}), or name a detector."
        )
    plan = FitPlan(calibration="cross_fit", folds=min(settings.folds, count // 2))
    folds = held_out_units(training, plan, seed)
    items = item_of(training).groupby(training["unit"]).nunique()
    return folds[: _enough([int(items[units].sum()) for units in folds], settings.items)]


def _enough(items: Sequence[int], wanted: int) -> int:
    """Of how many of some lots, the first ones, the items are as many as wanted; two at least."""
    return max(2, int(np.searchsorted(np.cumsum(items), wanted)) + 1)


def _some(known: pd.DataFrame, units: NDArray[Any], items: int) -> NDArray[np.bool_]:
    """Training rows of the first units that have so many items together, of two units at least."""
    training = (known["split"] == TRAIN).to_numpy()
    counts = item_of(known[training]).groupby(known.loc[training, "unit"]).nunique()
    chosen = units[: _enough([int(counts[unit]) for unit in units], items)]
    return np.asarray(training & known["unit"].isin(chosen).to_numpy(), np.bool_)


@contextmanager
def _scratch(store: Path) -> Iterator[Path]:
    """A folder that goes with the choice; what a killed process leaves is cleared as half-written arrays are."""
    folder = partial_name(store / "choice")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        remove(folder)


def _choice(
    rows: Sequence[dict[str, Any]], judgements: Mapping[str, Judgement], settings: AutoSettings
) -> dict[str, Any]:
    if not judgements:
        said = "; ".join(f"{row['detector']}: {row['left_out'].rstrip('.')}" for row in rows)
        raise EndlineError(f"detector=auto could judge no candidate ({said}): give more minutes, or name a detector.")
    decision = decided(judgements, settings.margin, settings.default)
    candidates = []
    for row in rows:
        name, judgement = row["detector"], judgements.get(row["detector"])
        figures = {} if judgement is None else {
            "criterion": judgement.criterion,
            "behind": decision.behind[name],
            "error": decision.error[name],
            "by_division": list(judgement.by_division),
            "by_kind": dict(judgement.by_kind),
            "leads": leads(judgement, judgements),
        }  # fmt: skip
        candidates.append({**row, **figures})
    log.info("detector=auto: %s", decision.reason)
    criterion = judgements[decision.chosen].criterion
    return {"detector": decision.chosen, **_about(decision.chosen, criterion, decision.reason, candidates)}


def _about(
    chosen: str | None, criterion: float | None, reason: str | None, candidates: list[dict[str, Any]]
) -> dict[str, Any]:
    return {"chosen": chosen, "chosen_criterion": criterion, "chosen_reason": reason, "candidates": candidates}
