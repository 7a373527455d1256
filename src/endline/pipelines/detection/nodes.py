"""Nodes of the shared detection pipeline: they call the layers below and hold no mathematics."""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.progress import Progress as Bars

from endline.detectors.base import build_detector
from endline.detectors.fitting import Detectors, FitPlan, are_joint, fit_detectors, score_rows, units
from endline.detectors.progress import Progress
from endline.evaluation.attribution import hottest
from endline.evaluation.controls import control_auroc, control_numbers, missing_for_control
from endline.evaluation.localisation import missing_for_pixel_auroc, pixel_auroc
from endline.evaluation.metrics import auroc_intervals, roc_curves, score_groups
from endline.evaluation.shortlist import shortlist_items
from endline.evaluation.summary import summarise
from endline.evaluation.thresholds import Calibration, calibrate
from endline.feature_set import FeatureRecipe, FeatureSet
from endline.files import content_key
from endline.reporting.exhibit import Exhibit
from endline.reporting.provenance import provenance
from endline.reporting.report import render_report

Settings = Mapping[str, Any]
log = logging.getLogger(__name__)


def fit(
    samples: pd.DataFrame,
    features: FeatureSet,
    run: Settings,
    plan: Settings,
    detectors: Mapping[str, Settings],
) -> tuple[Detectors, pd.DataFrame, pd.DataFrame, dict[str, Any]]:
    """Fit the chosen detector; returns detectors, history, held-out scores, and time and size of the fit."""
    name = run["detector"]
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
            lambda: build_detector(name, detectors),
            FitPlan(**plan),
            seed=run["seed"],
            new_progress=new_progress,
        )
    about = {
        "fit_seconds": fitted.seconds,
        "parameter_count": sum(detector.parameter_count for detector in fitted.detectors.values()),
    }
    return fitted.detectors, fitted.history, fitted.held_out, about


def score(
    samples: pd.DataFrame, features: FeatureSet, detectors: Detectors, exhibits: int
) -> tuple[pd.DataFrame, FeatureRecipe, dict[str, Any]]:
    """Score every tested part (or joint item); returns scores, maps (0 x 0 without), and the time each took.

    Maps are made where a report shows them or masks judge them.
    """
    tested = np.flatnonzero(((samples["split"] == "test") & ~samples["control"]).to_numpy(bool))
    rows, view = units(samples.iloc[tested], features.take(tested), joint=are_joint(detectors))
    start = time.perf_counter()
    wanted = exhibits > 0 or bool(rows["mask_path"].notna().any())
    scores, maps, map_seconds = score_rows(rows, view, detectors, maps=wanted)
    each = 1000 / max(1, len(rows))
    times = {
        "score_ms_per_sample": each * (time.perf_counter() - start - map_seconds),
        "map_ms_per_sample": None if maps is None else each * map_seconds,
    }
    heat = np.zeros((len(rows), 0, 0), np.float32) if maps is None else maps
    # Equal scores may come with other maps: the key is their content.
    key = content_key("maps", heat.shape, hashlib.sha256(heat.data).hexdigest())
    recipe = FeatureRecipe(key, len(rows), lambda: iter([{"map": heat}]), dtype="float32")
    return rows.assign(score=scores), recipe, times


def judge(held_out: pd.DataFrame, part_scores: pd.DataFrame, verdict: Settings) -> tuple[dict[str, Any], pd.DataFrame]:
    """Calibrate on the held-out normals and judge every tested item."""
    calibration = calibrate(held_out, rate=verdict["false_alarm_rate"], join=verdict["join"], rule=verdict["rule"])
    if calibration.smallest_rate > calibration.rate:
        log.warning(
            "%d held-out normals can promise no false-alarm rate below %.1f %%, so nothing is flagged at the "
            "stated %.1f %%: record more good parts or state a higher rate.",
            len(calibration.held_out),
            100 * calibration.smallest_rate,
            100 * calibration.rate,
        )
    return calibration.as_json(), calibration.verdicts(part_scores)


def evaluate(
    samples: pd.DataFrame,
    features: FeatureSet,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    scores: pd.DataFrame,
    held_out: pd.DataFrame,
    calibration: Settings,
    fitting: Settings,
    scoring: Settings,
    run: Settings,
    masks: FeatureSet | None = None,
) -> tuple[dict[str, Any], pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """Metrics of the run, its AUROC intervals and ROC curves, and its scores in groups.

    `masks` holds the array `defect` row by row with `part_scores`, where the evidence has defect masks.
    """
    limits = Calibration.from_json(calibration)
    numbers = control_numbers(samples, features)
    control = control_auroc(samples, numbers)
    known = {
        **{key: run[key] for key in ("station", "detector", "seed")},
        "group": run["group"] or ", ".join(sorted(samples["group"].unique())),
        **fitting,
        **scoring,
        "feature_seconds": features.seconds,
        "control_auroc": None if control is None else control.auroc,
        "control_auroc_low": None if control is None else control.low,
        "control_auroc_high": None if control is None else control.high,
        "control_auroc_reason": missing_for_control(samples, numbers),
        "pixel_auroc": pixel_auroc(part_scores, maps, masks),
        "pixel_auroc_reason": missing_for_pixel_auroc(part_scores, maps, masks),
    }
    intervals = auroc_intervals(scores)
    metrics = summarise(scores, samples, limits, intervals, known)
    return metrics, intervals, roc_curves(scores), score_groups(scores, limits.verdicts(held_out))


def attribution(part_scores: pd.DataFrame, maps: FeatureSet) -> pd.DataFrame:
    """Where each anomaly map of an image is largest."""
    return hottest(maps, part_scores)


def shortlist(scores: pd.DataFrame, calibration: Settings, exhibits: int) -> pd.DataFrame:
    """The items that the report shows in full, with the reason in `why`."""
    return shortlist_items(scores, Calibration.from_json(calibration).threshold, exhibits)


def figures(
    score_groups: pd.DataFrame, metrics: Settings, curves: pd.DataFrame, history: pd.DataFrame
) -> dict[str, bytes]:
    """The run's figures, file name -> PNG: drawn here once, the report takes them over."""
    from endline.reporting.figures import run_figures  # imports matplotlib: only where something is drawn

    return run_figures(score_groups, metrics, curves, history)


def report(
    metrics: Settings,
    scores: pd.DataFrame,
    intervals: pd.DataFrame,
    figures: Mapping[str, bytes],
    exhibits: Sequence[Exhibit],
    rejected: pd.DataFrame,
    inputs: Settings,
    settings: Settings,
    detectors: Mapping[str, Settings],
) -> str:
    """The report, one HTML page."""
    run = settings["run"]
    page = render_report(
        title=run["title"],
        station=run["station"],
        metrics=metrics,
        scores=scores,
        intervals=intervals,
        figures=figures,
        exhibits=exhibits,
        rejected=rejected,
        settings={**settings, run["detector"]: detectors[run["detector"]]},
        provenance=provenance(inputs),
        simulated=bool(metrics["simulated"]),
        evidence=run["evidence"],
    )
    area = metrics["auroc"]
    log.info(
        "%d of %d tested %s flagged; AUROC %s; %d files left out.",
        metrics["n_flagged"],
        metrics["n_tested"],
        run["evidence"],
        f"not computed ({metrics['auroc_reason']})" if area is None else f"{area:.3f}",
        len(rejected),
    )
    return page
