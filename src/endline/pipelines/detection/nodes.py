"""Nodes of the shared detection pipeline: they call the layers below and hold no mathematics."""

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich.progress import Progress as Bars

from endline.detectors.base import Detector
from endline.detectors.cross_fitting import FitPlan, fit_detectors
from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.detectors.scoring import are_joint, detector_rows, score_batches
from endline.evaluation.controls import control_auroc
from endline.evaluation.localisation import pixel_auroc
from endline.evaluation.metrics import roc_curves
from endline.evaluation.shortlist import shortlist_items
from endline.evaluation.summary import summarise
from endline.evaluation.thresholds import Calibration, calibrate
from endline.feature_set import FeatureRecipe, FeatureSet
from endline.files import content_key
from endline.reporting.figures import roc_figure, score_histogram, training_figure
from endline.reporting.provenance import provenance
from endline.reporting.report import Exhibit, render_report

Settings = Mapping[str, Any]
Figures = dict[str, Figure]
Detectors = dict[str, Detector[Any]]
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
    rows, view = detector_rows(samples.iloc[tested], features.take(tested), joint=are_joint(detectors))
    start = time.perf_counter()
    wanted = exhibits > 0 or bool(rows["mask_path"].notna().any())
    scores, heat, map_seconds = np.full(len(rows), np.nan), np.zeros((len(rows), 0, 0), np.float32), 0.0
    for batch in score_batches(rows, view, detectors, maps=wanted):
        scores[batch.rows] = batch.scores
        map_seconds += batch.map_seconds
        if batch.maps is not None:
            heat = heat if heat.size else np.zeros((len(rows), *batch.maps.shape[1:]), np.float32)
            heat[batch.rows] = batch.maps
    each = 1000 / max(1, len(rows))
    times = {
        "score_ms_per_sample": each * (time.perf_counter() - start - map_seconds),
        "map_ms_per_sample": each * map_seconds if heat.size else None,
    }
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
    return asdict(calibration), calibration.verdicts(part_scores)


def evaluate(
    samples: pd.DataFrame,
    features: FeatureSet,
    part_scores: pd.DataFrame,
    maps: FeatureSet,
    scores: pd.DataFrame,
    calibration: Settings,
    fitting: Settings,
    scoring: Settings,
    source: Settings,
    run: Settings,
) -> tuple[dict[str, Any], pd.DataFrame]:
    """Metrics of the run, and its ROC curves."""
    control = control_auroc(samples, features)
    known = {
        **{key: run[key] for key in ("station", "detector", "seed")},
        "group": run["group"] or ", ".join(sorted(samples["group"].unique())),
        **fitting,
        **scoring,
        "feature_seconds": features.seconds,
        "control_auroc": None if control is None else control.auroc,
        "pixel_auroc": pixel_auroc(part_scores, maps, Path(source["folder"])),
    }
    return summarise(scores, samples, calibration["threshold"], known), roc_curves(scores)


def shortlist(scores: pd.DataFrame, calibration: Settings, exhibits: int) -> pd.DataFrame:
    """The items that the report shows in full, with the reason in `why`."""
    return shortlist_items(scores, calibration["threshold"], exhibits)


def figures(scores: pd.DataFrame, calibration: Settings, history: pd.DataFrame, curves: pd.DataFrame) -> Figures:
    """The report's figures, each as a file of its own."""
    drawn = {
        "scores.png": score_histogram(scores, calibration["threshold"]),
        "roc.png": roc_figure(_by_kind(curves)),
        "training.png": training_figure(history),
    }
    return {name: figure for name, figure in drawn.items() if figure is not None}


def report(
    metrics: Settings,
    scores: pd.DataFrame,
    held_out: pd.DataFrame,
    calibration: Settings,
    history: pd.DataFrame,
    curves: pd.DataFrame,
    exhibits: Sequence[Exhibit],
    rejected: pd.DataFrame,
    inputs: Settings,
    settings: Settings,
    detectors: Mapping[str, Settings],
) -> str:
    """The report, one HTML page."""
    run = settings["run"]
    limits = Calibration(**calibration)
    calibrating = limits.verdicts(held_out).assign(split="train")
    page = render_report(
        title=run["title"],
        station=run["station"],
        metrics={
            **metrics,
            "target_false_alarm_rate": limits.rate,
            "n_calibration": len(limits.held_out),
        },
        scores=pd.concat([calibrating, scores], ignore_index=True),
        history=history,
        curves=_by_kind(curves),
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
        int(scores["flagged"].sum()),
        len(scores),
        run["evidence"],
        "not computed (no labelled anomaly)" if area is None else f"{area:.3f}",
        len(rejected),
    )
    return page


def _by_kind(curves: pd.DataFrame) -> dict[str, tuple[pd.Series, pd.Series, float]]:
    """ROC curve (false-alarm rates, recalls, area) of each kind."""
    return {
        str(kind): (rows["false_alarm_rate"], rows["recall"], float(rows["auroc"].iloc[0]))
        for kind, rows in curves.groupby("kind", sort=False)
    }
