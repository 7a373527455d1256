"""Nodes of the shared detection pipeline that show what was found: they call the layers below."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from endline.detectors.scoring import Detectors
from endline.evaluation.calibration import Calibration
from endline.evaluation.embedding import embedding_table
from endline.evaluation.importances import importance_table
from endline.evaluation.shortlist import shortlist_items
from endline.feature_set import FeatureSet
from endline.reporting.exhibit import Exhibit
from endline.reporting.provenance import provenance
from endline.reporting.report import render_report
from endline.reporting.words import shift_sentence

Settings = Mapping[str, Any]
log = logging.getLogger(__name__)


def shortlist(scores: pd.DataFrame, calibration: Settings, exhibits: int) -> pd.DataFrame:
    """The items that the report shows in full, with the reason in `why`."""
    return shortlist_items(scores, Calibration.from_json(calibration).threshold, exhibits)


def explain(
    samples: pd.DataFrame,
    features: FeatureSet,
    scores: pd.DataFrame,
    detectors: Detectors,
    run: Settings,
    exhibits: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """How the detector sees the samples, and which inputs count, where it offers either and a report shows it."""
    asked = detectors if exhibits > 0 else {}
    embedding = embedding_table(samples, features, asked, run["seed"])
    return embedding, importance_table(samples, features, scores, asked)


def figures(
    score_groups: pd.DataFrame,
    metrics: Settings,
    curves: pd.DataFrame,
    history: pd.DataFrame,
    embedding: pd.DataFrame,
    importances: pd.DataFrame,
) -> dict[str, bytes]:
    """The run's figures, file name -> PNG: drawn here once, the report takes them over."""
    from endline.reporting.detector_figures import embedding_figure, importance_figure
    from endline.reporting.figures import encoded, run_figures  # imports matplotlib: only where something is drawn

    offered = {"embedding.png": embedding_figure(embedding), "importances.png": importance_figure(importances)}
    return {**run_figures(score_groups, metrics, curves, history), **encoded(offered)}


def report(
    metrics: Settings,
    scores: pd.DataFrame,
    intervals: pd.DataFrame,
    figures: Mapping[str, bytes],
    embedding: pd.DataFrame,
    exhibits: Sequence[Exhibit],
    remarks: Mapping[str, str],
    rejected: pd.DataFrame,
    near_duplicates: pd.DataFrame,
    inputs: Settings,
    choice: Settings,
    settings: Settings,
    detectors: Mapping[str, Settings],
    *,
    title: str,
    evidence: str,
) -> str:
    """The report, one HTML page."""
    run = settings["run"]
    page = render_report(
        title=title,
        station=run["station"],
        metrics=metrics,
        scores=scores,
        intervals=intervals,
        figures=figures,
        embedded="" if embedding.empty else str(embedding["embedded"].iloc[0]),
        exhibits=exhibits,
        remarks=remarks,
        rejected=rejected,
        near_duplicates=near_duplicates,
        choice=choice,
        settings={**settings, choice["detector"]: detectors[choice["detector"]]},
        provenance=provenance(inputs),
        simulated=bool(metrics["simulated"]),
        evidence=evidence,
    )
    area = metrics["auroc"]
    log.info(
        "%d of %d tested %s flagged; AUROC %s; %d files left out.",
        metrics["n_flagged"],
        metrics["n_tested"],
        evidence,
        f"not computed ({metrics['auroc_reason']})" if area is None else f"{area:.3f}",
        len(rejected),
    )
    if beware := shift_sentence(metrics, evidence):
        log.warning(beware)
    return page
