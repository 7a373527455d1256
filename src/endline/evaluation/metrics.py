"""Figures of merit of anomaly scores; larger scores are more anomalous."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Scores = NDArray[np.float64]
RESAMPLES = 2000
INTERVAL_COLUMNS = ("by", "name", "auroc", "low", "high", "n")
CURVE_COLUMNS = ("kind", "false_alarm_rate", "recall", "auroc")


@dataclass(frozen=True)
class Auroc:
    """Area under the ROC curve with its 95 % bootstrap interval, and the number of anomalous items.

    Example:
        >>> Auroc(auroc=0.9, low=0.8, high=0.97, n=40).high
        0.97
    """

    auroc: float
    low: float
    high: float
    n: int


def auroc(
    normal: Scores,
    anomalous: Scores,
    *,
    units: tuple[NDArray[Any], NDArray[Any]] | None = None,
    seed: int = 0,
    resamples: int = RESAMPLES,
) -> Auroc | None:
    """AUROC with a stratified percentile bootstrap, or None where a class is empty.

    Args:
        normal: scores of normal items, (n,).
        anomalous: scores of anomalous items, (m,).
        units: the physical part that each normal, and each anomalous item shows, (n,) and (m,): parts are drawn with
            all their items; None where each item is one of its own.
        seed: of the bootstrap.
        resamples: number of bootstrap samples; normals and anomalous are drawn apart, each with replacement.

    Example:
        >>> auroc(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
        Auroc(auroc=1.0, low=1.0, high=1.0, n=2)
    """
    if len(normal) == 0 or len(anomalous) == 0:
        return None
    of_normal, of_anomalous = (np.arange(len(normal)), np.arange(len(anomalous))) if units is None else units
    columns_of, rows_of = (np.unique(of, return_inverse=True)[1] for of in (of_normal, of_anomalous))
    wins, per_row, per_column = unit_wins(normal, anomalous, columns_of, rows_of)
    rng = np.random.default_rng(seed)
    rows, columns = (rng.multinomial(size, np.full(size, 1 / size), resamples) for size in wins.shape)
    drawn = ((rows @ wins) * columns).sum(1) / ((rows @ per_row) * (columns @ per_column))
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Auroc(float(wins.sum() / (len(normal) * len(anomalous))), float(low), float(high), len(anomalous))


def unit_wins(
    normal: Scores, anomalous: Scores, normal_unit: NDArray[np.int64], anomalous_unit: NDArray[np.int64]
) -> tuple[Scores, NDArray[np.int64], NDArray[np.int64]]:
    """How often the items of each faulty unit stand above those of each normal unit; a tie counts as half.

    Every AUROC whose units are weighted is a weighted mean of this one table.

    Args:
        normal: scores of normal items, (n,).
        anomalous: scores of anomalous items, (m,).
        normal_unit: number of the unit that each normal item shows, (n,), from 0 without a gap.
        anomalous_unit: the same of each anomalous item, (m,).

    Returns:
        the table (faulty units, normal units), and the items of each faulty and of each normal unit.

    Example:
        >>> unit_wins(np.array([0.0, 1.0]), np.array([1.0, 2.0]), np.array([0, 0]), np.array([0, 1]))[0].tolist()
        [[1.5], [2.0]]
    """
    above = anomalous[:, None] > normal[None, :]
    ties = anomalous[:, None] == normal[None, :]
    per_row, per_column = np.bincount(anomalous_unit), np.bincount(normal_unit)
    wins = np.zeros((len(per_row), len(per_column)))
    np.add.at(wins, (anomalous_unit[:, None], normal_unit[None, :]), above + 0.5 * ties)
    return wins, per_row, per_column


def partial_auroc(normal: Scores, anomalous: Scores, max_false_alarm_rate: float = 0.1) -> float | None:
    """Standardised partial AUROC up to a false-alarm rate (McClish 1989), or None where a class is empty.

    Example:
        >>> partial_auroc(np.array([0.0, 1.0]), np.array([2.0, 3.0]))
        1.0
    """
    if len(normal) == 0 or len(anomalous) == 0:
        return None
    from sklearn.metrics import roc_auc_score  # takes longer than a verdict, which does without

    labels = np.r_[np.zeros(len(normal)), np.ones(len(anomalous))]
    return float(roc_auc_score(labels, np.r_[normal, anomalous], max_fpr=max_false_alarm_rate))


def auroc_intervals(scores: pd.DataFrame) -> pd.DataFrame:
    """AUROC with its interval of all items, of each kind, of each domain, and of each group where there are several.

    A kind's anomalous items are compared with all normals, a domain's normals with all anomalous items (DCASE 2023,
    task 2), a group's anomalous items with its own normals.

    Args:
        scores: one row an item, columns `score, label, kind, domain, group`, and `unit` where parts have several items;
            unknown labels are left out.

    Returns:
        Columns `by` (all, kind, domain, group), `name, auroc, low, high, n`; rows without both labels are left out.

    Example:
        >>> table = pd.DataFrame({"score": [1.0, 2.0, 3.0], "label": [0, 0, 1], "kind": ["normal", "normal", "dent"]})
        >>> auroc_intervals(table.assign(domain=None, group="mirror"))[["by", "name", "auroc", "n"]]
             by  name  auroc  n
        0   all   all    1.0  1
        1  kind  dent    1.0  1
    """
    values, normal, anomalous = scores["score"].to_numpy(np.float64), is_normal(scores), is_anomalous(scores)
    shown = scores["unit"].to_numpy(str) if "unit" in scores else None
    compared = [("all", "all", normal, anomalous)]
    kinds, domains, groups = (_names(scores.loc[rows, column]) for column, rows in (
        ("kind", anomalous), ("domain", normal), ("group", normal | anomalous)
    ))  # fmt: skip
    compared += [("kind", kind, normal, anomalous & scores["kind"].eq(kind)) for kind in kinds]
    compared += [("domain", domain, normal & scores["domain"].eq(domain), anomalous) for domain in domains]
    if scores["group"].nunique() > 1:
        inside = {group: scores["group"].eq(group) for group in groups}
        compared += [("group", group, normal & rows, anomalous & rows) for group, rows in inside.items()]
    rows = []
    for by, name, good, bad in compared:
        units = None if shown is None else (shown[good.to_numpy()], shown[bad.to_numpy()])
        area = auroc(values[good.to_numpy()], values[bad.to_numpy()], units=units)
        if area is not None:
            rows.append((by, name, area.auroc, area.low, area.high, area.n))
    return pd.DataFrame(rows, columns=list(INTERVAL_COLUMNS))


def _names(column: pd.Series) -> list[str]:
    return sorted(str(name) for name in column.dropna().unique())


def roc_curves(scores: pd.DataFrame) -> pd.DataFrame:
    """ROC curves of all anomalous items (`kind` = "all") and of each kind against all normal items.

    Args:
        scores: columns `score, label, kind`; unknown labels are left out.

    Returns:
        Columns `kind, false_alarm_rate, recall, auroc`, one row a point; empty without both labels.

    Example:
        >>> table = pd.DataFrame({"score": [1.0, 2.0], "label": [0, 1], "kind": ["normal", "dent"]})
        >>> roc_curves(table)["kind"].unique().tolist()
        ['all', 'dent']
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    normal = scores.loc[is_normal(scores), "score"].to_numpy(float)
    curves = []
    for kind, anomalous in anomalous_by_kind(scores).items():
        labels = np.r_[np.zeros(len(normal)), np.ones(len(anomalous))]
        if len(normal) and len(anomalous):
            values = np.r_[normal, anomalous]
            false_alarms, recall, _ = roc_curve(labels, values)
            area = float(roc_auc_score(labels, values))
            curves.append(pd.DataFrame(dict(zip(CURVE_COLUMNS, (kind, false_alarms, recall, area), strict=True))))
    return pd.concat(curves, ignore_index=True) if curves else pd.DataFrame(columns=list(CURVE_COLUMNS))


def score_groups(scores: pd.DataFrame, calibrating: pd.DataFrame) -> pd.DataFrame:
    """Finite scores of a run by what is known of their items, as a histogram shows them.

    Args:
        scores: the tested items, columns `score, label, kind, flagged`.
        calibrating: the held-out normal items behind the threshold, column `score`.

    Returns:
        Columns `group`, `score` and `flagged` (missing of the calibrating ones); the groups follow each other:
        `calibrating normals`, `normal`, each kind of anomaly (`anomalous` where it is not known), `label unknown`.

    Example:
        >>> tested = pd.DataFrame({"score": [1.0, 5.0], "label": [0, 1], "kind": ["normal", "dent"]})
        >>> tested = tested.assign(flagged=[False, True])
        >>> score_groups(tested, pd.DataFrame({"score": [0.5]}))["group"].tolist()
        ['calibrating normals', 'normal', 'dent']
    """
    normal, anomalous = is_normal(scores), is_anomalous(scores)
    kinds = scores["kind"].fillna("anomalous").astype(str)
    groups = [
        ("calibrating normals", calibrating.assign(flagged=pd.Series(pd.NA, calibrating.index, "boolean"))),
        ("normal", scores[normal]),
        *((kind, scores[anomalous & kinds.eq(kind)]) for kind in sorted(set(kinds[anomalous]))),
        ("label unknown", scores[~normal & ~anomalous]),
    ]
    types = {"score": "float64", "flagged": "boolean"}
    table = pd.concat([rows[["score", "flagged"]].astype(types).assign(group=name) for name, rows in groups])
    table = table[["group", "score", "flagged"]]
    finite: pd.DataFrame = table[np.isfinite(table["score"].to_numpy(float))]
    return finite.reset_index(drop=True)


def is_normal(scores: pd.DataFrame) -> pd.Series:
    """Which rows are known to be normal, (rows,) bool.

    Example:
        >>> is_normal(pd.DataFrame({"label": pd.array([0, 1, None], dtype="Int8")})).tolist()
        [True, False, False]
    """
    return (scores["label"] == 0).fillna(False).astype(bool)


def is_anomalous(scores: pd.DataFrame) -> pd.Series:
    """Which rows are known to be anomalous, (rows,) bool.

    Example:
        >>> is_anomalous(pd.DataFrame({"label": pd.array([0, 1, None], dtype="Int8")})).tolist()
        [False, True, False]
    """
    return (scores["label"] == 1).fillna(False).astype(bool)


def anomalous_by_kind(scores: pd.DataFrame) -> dict[str, Scores]:
    """Scores of the anomalous items, all together under "all" and by kind.

    Example:
        >>> table = pd.DataFrame({"score": [1.0, 2.0], "label": [0, 1], "kind": ["normal", "dent"]})
        >>> list(anomalous_by_kind(table))
        ['all', 'dent']
    """
    anomalous = scores[is_anomalous(scores)]
    groups = {"all": anomalous["score"].to_numpy(float)}
    for kind, rows in anomalous.groupby("kind", sort=True):
        groups[str(kind)] = rows["score"].to_numpy(float)
    return groups
