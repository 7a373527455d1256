"""Figures of merit of anomaly scores; larger scores are more anomalous."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score, roc_curve

Scores = NDArray[np.float64]
RESAMPLES = 2000


@dataclass(frozen=True)
class Auroc:
    """Area under the ROC curve with its 95 % bootstrap interval, and the number of anomalous items."""

    auroc: float
    low: float
    high: float
    n: int


def auroc(normal: Scores, anomalous: Scores, *, seed: int = 0, resamples: int = RESAMPLES) -> Auroc | None:
    """AUROC with a stratified percentile bootstrap, or None where a class is empty.

    Args:
        normal: scores of normal items, (n,).
        anomalous: scores of anomalous items, (m,).
        seed: of the bootstrap.
        resamples: number of bootstrap samples; normals and anomalous are drawn apart, each with replacement.
    """
    if len(normal) == 0 or len(anomalous) == 0:
        return None
    # wins[i, j]: does anomalous i beat normal j; every resampled AUROC is a weighted mean of this one table.
    wins = _wins(normal, anomalous)
    rng = np.random.default_rng(seed)
    rows = rng.multinomial(len(anomalous), np.full(len(anomalous), 1 / len(anomalous)), resamples)
    columns = rng.multinomial(len(normal), np.full(len(normal), 1 / len(normal)), resamples)
    drawn = ((rows @ wins) * columns).sum(1) / wins.size
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Auroc(float(wins.mean()), float(low), float(high), len(anomalous))


def _wins(normal: Scores, anomalous: Scores) -> Scores:
    above = anomalous[:, None] > normal[None, :]
    ties = anomalous[:, None] == normal[None, :]
    return np.asarray(above + 0.5 * ties, dtype=np.float64)


def partial_auroc(normal: Scores, anomalous: Scores, max_false_alarm_rate: float = 0.1) -> float | None:
    """Standardised partial AUROC up to a false-alarm rate (McClish), or None where a class is empty."""
    if len(normal) == 0 or len(anomalous) == 0:
        return None
    labels = np.r_[np.zeros(len(normal)), np.ones(len(anomalous))]
    return float(roc_auc_score(labels, np.r_[normal, anomalous], max_fpr=max_false_alarm_rate))


def roc_curves(scores: pd.DataFrame) -> pd.DataFrame:
    """ROC curves of all anomalous items (`kind` = "all") and of each kind against all normal items.

    Args:
        scores: columns `score, label, kind`; unknown labels are left out.

    Returns:
        Columns `kind, false_alarm_rate, recall, auroc`, one row a point; empty without both labels.
    """
    normal = scores.loc[is_normal(scores), "score"].to_numpy(float)
    curves = []
    for kind, anomalous in anomalous_by_kind(scores).items():
        labels = np.r_[np.zeros(len(normal)), np.ones(len(anomalous))]
        if len(normal) and len(anomalous):
            values = np.r_[normal, anomalous]
            false_alarms, recall, _ = roc_curve(labels, values)
            area = float(roc_auc_score(labels, values))
            curves.append(
                pd.DataFrame({"kind": kind, "false_alarm_rate": false_alarms, "recall": recall, "auroc": area})
            )
    columns = ["kind", "false_alarm_rate", "recall", "auroc"]
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=columns)


def is_normal(scores: pd.DataFrame) -> pd.Series:
    """Which rows are known to be normal, (rows,) bool."""
    return (scores["label"] == 0).fillna(False).astype(bool)


def is_anomalous(scores: pd.DataFrame) -> pd.Series:
    """Which rows are known to be anomalous, (rows,) bool."""
    return (scores["label"] == 1).fillna(False).astype(bool)


def anomalous_by_kind(scores: pd.DataFrame) -> dict[str, Scores]:
    """Scores of the anomalous items, all together under "all" and by kind."""
    anomalous = scores[is_anomalous(scores)]
    groups = {"all": anomalous["score"].to_numpy(float)}
    for kind, rows in anomalous.groupby("kind", sort=True):
        groups[str(kind)] = rows["score"].to_numpy(float)
    return groups
