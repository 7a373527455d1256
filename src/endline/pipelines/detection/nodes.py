"""Nodes of the shared detection pipeline: they call the layers below and hold no mathematics."""

import logging
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.progress import Progress as Bars

from endline.array_store import ArrayStore
from endline.backbones.pyramids import PyramidSettings
from endline.compute import Compute
from endline.detectors.cross_fitting import FitPlan, fit_detectors
from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.detectors.scoring import Detectors, are_joint, detector_rows, score_batches, score_rows, with_scores
from endline.evaluation.baselines import SUMMARY, baseline_auroc, with_baseline
from endline.evaluation.calibration import TOGETHER, Calibration, calibrate
from endline.evaluation.controls import CONTROL, control_auroc, item_numbers, labelled_auroc, missing_for_control
from endline.evaluation.domains import YEAR
from endline.evaluation.localisation import localisation, missing_for_pixel_auroc
from endline.evaluation.map_values import has_maps
from endline.evaluation.metrics import auroc_intervals, roc_curves, score_groups
from endline.evaluation.summary import summarise
from endline.feature_set import FeatureSet
from endline.samples import TEST

Settings = Mapping[str, Any]
log = logging.getLogger(__name__)


class Prepared(Protocol):
    """What the fit must know of a station's preparation.

    Example:
        >>> from endline.evidence.cycles.features import CyclePreparation
        >>> CyclePreparation(("torque",), length=10, rate=50.0).pyramid is None
        True
    """

    @property
    def pyramid(self) -> PyramidSettings | None:
        """How feature maps were made."""
        ...


def compute_of(run: Settings) -> Compute:
    """Device and precision of a run."""
    return Compute(run["device"], run["precision"])


def fit(
    samples: pd.DataFrame,
    features: FeatureSet,
    preparation: Prepared,
    choice: Settings,
    run: Settings,
    plan: Settings,
    verdict: Settings,
    detectors: Mapping[str, Settings],
) -> tuple[Detectors, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Fit the detector of the run; returns detectors, history, held-out scores, and time and size of the fit."""
    name = choice["detector"]
    with Bars(transient=True) as bars:

        def new_progress(stage: str) -> Progress:
            task = bars.add_task(f"Fitting {name} {stage}", total=None)

            def on_epoch(epoch: int, epochs: int, loss: float) -> None:
                text = f"Fitting {name} {stage} (loss {loss:.3f})"
                bars.update(task, description=text, completed=epoch, total=epochs, visible=epoch < epochs)

            return Progress(Path(run["checkpoints"]) / f"{stage}.safetensors", on_epoch)

        fitted = fit_detectors(
            samples,
            features,
            lambda: build_detector(name, detectors, compute_of(run)),
            FitPlan(**plan, rate=verdict["false_alarm_rate"]),
            seed=run["seed"],
            new_progress=new_progress,
            pyramid=preparation.pyramid,
        )
    about = {
        "fit_seconds": fitted.seconds,
        "parameter_count": sum(detector.parameter_count for detector in fitted.detectors.values()),
    }
    return fitted.detectors, fitted.history, fitted.held_out, about


def score(
    samples: pd.DataFrame, features: FeatureSet, detectors: Detectors, run: Settings, exhibits: int
) -> tuple[pd.DataFrame, FeatureSet, dict[str, Any]]:
    """Score every tested part (or joint item); returns scores, maps (0 x 0 without), and the time each took.

    Maps are made where a report shows them or masks judge them, and written batch by batch. The rows come in the order
    in which they were scored: part after part where each has a detector of its own.
    """
    tested = np.flatnonzero((samples["split"] == TEST).to_numpy())
    rows, view = detector_rows(samples.iloc[tested], features.take(tested), joint=are_joint(detectors))
    wanted = exhibits > 0 or bool(rows["mask_path"].notna().any())
    order: list[NDArray[np.int64]] = []
    scores: list[NDArray[np.float64]] = []
    seconds = {"score": 0.0, "map": 0.0}

    def maps() -> Iterator[NDArray[np.float32]]:
        begun = time.perf_counter()
        for batch in score_batches(rows, view, detectors, maps=wanted):
            order.append(batch.rows)
            scores.append(batch.scores)
            seconds["map"] += batch.map_seconds
            seconds["score"] += time.perf_counter() - begun - batch.map_seconds
            yield np.zeros((len(batch.rows), 0, 0), np.float32) if batch.maps is None else batch.maps
            begun = time.perf_counter()

    kept = ArrayStore(Path(run["store"])).keep("map", maps(), len(rows))
    each = 1000 / max(1, len(rows))
    times = {
        "score_ms_per_sample": each * seconds["score"],
        "map_ms_per_sample": each * seconds["map"] if has_maps(kept) else None,
    }
    scored = with_scores(rows.iloc[np.concatenate(order)].reset_index(drop=True), np.concatenate(scores))
    return scored, kept, times


def untrained(
    samples: pd.DataFrame,
    features: FeatureSet,
    preparation: Prepared,
    choice: Settings,
    run: Settings,
    plan: Settings,
    verdict: Settings,
    detectors: Mapping[str, Settings],
) -> dict[str, Any]:
    """AUROC of the same detector without any training step, where its start is a detector: what training adds."""

    def start() -> Any:
        return build_detector(choice["detector"], detectors, compute_of(run)).untrained()

    tested = np.flatnonzero((samples["split"] == TEST).to_numpy())
    labels = samples["label"].iloc[tested]
    area = None
    if start() is not None and (labels == 0).any() and (labels == 1).any():
        once = FitPlan(**{**plan, "calibration": "hold_out", "ensemble_size": 1}, rate=verdict["false_alarm_rate"])
        seed, pyramid = run["seed"], preparation.pyramid
        fitted = fit_detectors(samples, features, start, once, seed=seed, pyramid=pyramid)
        rows, view = detector_rows(samples.iloc[tested], features.take(tested), joint=are_joint(fitted.detectors))
        scored = with_scores(rows, score_rows(rows, view, fitted.detectors))
        limits = calibrate(fitted.held_out, rate=verdict["false_alarm_rate"], join=verdict["join"])
        verdicts = limits.verdicts(scored)
        area = labelled_auroc(verdicts["score"].to_numpy(float), verdicts)
    return {} if area is None else {"auroc": area.auroc, "low": area.low, "high": area.high}


def judge(
    samples: pd.DataFrame, features: FeatureSet, held_out: pd.DataFrame, part_scores: pd.DataFrame, verdict: Settings
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Calibrate on the held-out normals and judge every tested item; stations without domains say nothing of them.

    The scores have a column `baseline`, see `with_baseline`.
    """
    rate, domains = verdict["false_alarm_rate"], verdict.get("domains", TOGETHER)
    calibration = calibrate(held_out, rate=rate, join=verdict["join"], rule=verdict["rule"], domains=domains)
    if calibration.rate_reason:
        log.warning(
            "%s: verdicts keep %.3g %% instead. Record more good parts, or state a higher rate.",
            calibration.rate_reason,
            100 * calibration.rate,
        )
    verdicts = calibration.verdicts(part_scores)
    return calibration.as_json(), with_baseline(verdicts, samples, item_numbers(samples, features, SUMMARY))


def evaluate(
    samples: pd.DataFrame,
    features: FeatureSet,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    scores: pd.DataFrame,
    calibration: Settings,
    untrained: Settings,
    fitting: Settings,
    scoring: Settings,
    choice: Settings,
    run: Settings,
    masks: FeatureSet | None = None,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Metrics of the run, its AUROC intervals and ROC curves, and its scores in groups.

    `masks` holds the array `defect` row by row with `part_scores`, where the evidence has defect masks.
    """
    limits = Calibration.from_json(calibration)
    numbers = item_numbers(samples, features, CONTROL)
    control = control_auroc(samples, numbers)
    baseline = baseline_auroc(scores)
    pixels = localisation(part_scores, maps, masks)
    known = {
        **{key: run[key] for key in ("station", "seed")},
        **{key: choice[key] for key in ("detector", "chosen", "chosen_criterion", "chosen_reason")},
        "group": run["group"] or ", ".join(sorted(samples["group"].unique())),
        **fitting,
        **scoring,
        "feature_seconds": features.seconds,
        "control_auroc": None if control is None else control.auroc,
        "control_auroc_low": None if control is None else control.low,
        "control_auroc_high": None if control is None else control.high,
        "control_auroc_reason": missing_for_control(samples, numbers),
        "baseline_auroc": None if baseline is None else baseline.auroc,
        "baseline_auroc_low": None if baseline is None else baseline.low,
        "baseline_auroc_high": None if baseline is None else baseline.high,
        **{
            f"untrained_auroc{end}": untrained.get(key)
            for end, key in (("", "auroc"), ("_low", "low"), ("_high", "high"))
        },
        "pixel_auroc": pixels.pixel_auroc,
        "pixel_auroc_by_kind": pixels.by_kind or None,
        "pixel_auroc_mean_of_kinds": fmean(pixels.by_kind.values()) if pixels.by_kind else None,
        "aupro": pixels.aupro,
        "pixel_auroc_reason": missing_for_pixel_auroc(part_scores, maps, masks),
    }
    intervals = auroc_intervals(scores)
    metrics = summarise(scores, samples, limits, intervals, known, run.get("year", YEAR))
    return metrics, intervals, roc_curves(scores), score_groups(scores, pd.DataFrame({"score": limits.held_out}))
