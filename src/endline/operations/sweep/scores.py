"""Scores of the tested items of every run of a sweep, kept beside its table: who is ahead is asked of pairs."""

import hashlib
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from endline.evaluation.metrics import is_anomalous, is_normal
from endline.evaluation.paired import LabelledScores, who_is_ahead
from endline.files import whole

COLUMNS: dict[str, Any] = {"unit": str, "anomalous": bool, "rank": np.float64, "baseline": np.float64}
BASELINE = "baseline of ignorance"
GROUP = "group"
Kept = Mapping[str, pd.DataFrame]  # version of the run -> its scores


def kept_columns(scores: pd.DataFrame) -> pd.DataFrame:
    """What is kept of a run's scores: the ranks of the labelled items, their units under names that tell nothing.

    Args:
        scores: columns `unit, label, kind, score` and `baseline`, where there is one, one row an item.

    Returns:
        columns `unit` (8 hexadecimal digits), `anomalous`, `rank` (from 1; equal scores share the mean of theirs), and
        `baseline`, the rank by the baseline's score, NaN without one.

    Example:
        >>> table = pd.DataFrame({"unit": ["a", "b", "c"], "label": [0, 1, None], "score": [0.1, 0.9, 0.5]})
        >>> kept_columns(table)[["anomalous", "rank"]].values.tolist()
        [[False, 1.0], [True, 2.0]]
    """
    known = scores[is_normal(scores) | is_anomalous(scores)]
    names = {unit: hashlib.sha256(unit.encode()).hexdigest()[:8] for unit in known["unit"].astype(str).unique()}
    ranks = known["score"].rank(method="average")
    glance = known["baseline"].rank(method="average") if "baseline" in known else np.nan
    units = known["unit"].astype(str).map(names)
    kept = {"unit": units, "anomalous": is_anomalous(known), "rank": ranks, "baseline": glance}
    return pd.DataFrame(kept).astype(COLUMNS).reset_index(drop=True)


def read_scores(path: Path) -> dict[str, pd.DataFrame]:
    """Scores by run from a file that `write_scores` wrote; none where there is no file."""
    if not path.exists():
        return {}
    table = pd.read_parquet(path)
    table = table.assign(baseline=table.get("baseline", np.nan))  # older files lack it
    table = table.astype({"version": str, **COLUMNS})
    return {str(version): own[list(COLUMNS)].reset_index(drop=True) for version, own in table.groupby("version")}


def write_scores(path: Path, kept: Kept) -> None:
    """Write the scores of all runs, whole or not at all.

    Raises:
        EndlineError: when the disk is full or read-only.
    """
    parts = [own.assign(version=version) for version, own in kept.items()]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["version", *COLUMNS])
    ranks = dict.fromkeys(("rank", "baseline"), np.float32)  # exact to 2^23 items
    types: dict[str, Any] = {"version": "category", "unit": "category", **ranks}
    with whole(path) as partial:
        table[["version", *COLUMNS]].astype(types).to_parquet(partial, index=False, compression="zstd")


def compared(names: Sequence[str]) -> list[str]:
    """Those of the varied parameters by which methods are compared: each machine or category has parts of its own.

    Example:
        >>> compared(["detector", "group"])
        ['detector']
    """
    return [name for name in names if name != GROUP]


def ahead(table: pd.DataFrame, cells: Sequence[str], averaged: Sequence[str], kept: Kept) -> pd.DataFrame:
    """Who is ahead among the cells of a sweep's table and the baseline, on the same parts; see `who_is_ahead`.

    Args:
        table: one row a run.
        cells: varied parameters that name a cell; `group` apart, over which the figures are averaged.
        averaged: the other ones; equal values are one test set.
        kept: scores by version; runs without any are left out.

    Returns:
        columns of `who_is_ahead` but `name`, indexed by the values of `compared(cells)`; the baseline, where all runs
        have one, is the cell `BASELINE`; no rows where there are not two to compare, or their tested parts differ.
    """
    names = compared(cells)
    tests = [name for name in (*cells, *averaged) if name not in names]
    runs: dict[Hashable, dict[Hashable, LabelledScores]] = {}
    glances: dict[Hashable, LabelledScores] = {}
    for row in table.to_dict("records"):
        if (own := kept.get(str(row.get("version")))) is None or own["anomalous"].nunique() < 2:
            continue
        cell, test = (tuple(str(row[key]) for key in keys) for keys in (names, tests))
        own = own.assign(unit=f"{row[GROUP]}/" + own["unit"]) if GROUP in tests else own
        runs.setdefault(cell, {})[test] = _labelled(own, "rank")
        if own["baseline"].notna().all():
            glances[test] = _labelled(own, "baseline")
    if all(test in glances for of in runs.values() for test in of):
        runs[(BASELINE, *[""] * (len(names) - 1))] = glances
    if len(runs) < 2 or not _are_of_the_same_parts(runs.values()):
        return pd.DataFrame()
    found = who_is_ahead(runs)
    return found.drop(columns="name").set_axis(pd.Index(found["name"], tupleize_cols=False), axis=0)


def _are_of_the_same_parts(runs: Iterable[Mapping[Hashable, LabelledScores]]) -> bool:
    parts: dict[Hashable, tuple[list[str], ...]] = {}
    for of_method in runs:
        for test, own in of_method.items():
            tested = tuple(sorted(units) for units in (own.normal_units, own.anomalous_units))
            if parts.setdefault(test, tested) != tested:
                return False
    return True


def _labelled(own: pd.DataFrame, by: str) -> LabelledScores:
    bad, score, unit = (own[name].to_numpy() for name in ("anomalous", by, "unit"))
    return LabelledScores(score[~bad], score[bad], unit[~bad].astype(str), unit[bad].astype(str))
