"""Scores of the tested items of every run of a sweep, kept beside its table: who is ahead is asked of pairs."""

import hashlib
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from endline.evaluation.metrics import is_anomalous, is_normal
from endline.evaluation.paired import LabelledScores, who_is_ahead
from endline.files import whole

COLUMNS: dict[str, Any] = {"unit": str, "anomalous": bool, "rank": np.float64}
Kept = Mapping[str, pd.DataFrame]  # version of the run -> its scores


def kept_columns(scores: pd.DataFrame) -> pd.DataFrame:
    """What is kept of a run's scores: the ranks of the labelled items, their units under names that tell nothing.

    Args:
        scores: columns `unit, label, kind, score`, one row an item.

    Returns:
        columns `unit` (8 hexadecimal digits), `anomalous`, `rank` (from 1; equal scores share the mean of theirs).

    Example:
        >>> table = pd.DataFrame({"unit": ["a", "b", "c"], "label": [0, 1, None], "score": [0.1, 0.9, 0.5]})
        >>> kept_columns(table)[["anomalous", "rank"]].values.tolist()
        [[False, 1.0], [True, 2.0]]
    """
    known = scores[is_normal(scores) | is_anomalous(scores)]
    names = {unit: hashlib.sha256(unit.encode()).hexdigest()[:8] for unit in known["unit"].astype(str).unique()}
    ranks = known["score"].rank(method="average")
    kept = {"unit": known["unit"].astype(str).map(names), "anomalous": is_anomalous(known), "rank": ranks}
    return pd.DataFrame(kept).astype(COLUMNS).reset_index(drop=True)


def read_scores(path: Path) -> dict[str, pd.DataFrame]:
    """Scores by run from a file that `write_scores` wrote; none where there is no file."""
    if not path.exists():
        return {}
    table = pd.read_parquet(path).astype({"version": str, **COLUMNS})
    return {str(version): own[list(COLUMNS)].reset_index(drop=True) for version, own in table.groupby("version")}


def write_scores(path: Path, kept: Kept) -> None:
    """Write the scores of all runs, whole or not at all.

    Raises:
        EndlineError: when the disk is full or read-only.
    """
    parts = [own.assign(version=version) for version, own in kept.items()]
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=["version", *COLUMNS])
    types: dict[str, Any] = {"version": "category", "unit": "category", "rank": np.float32}  # exact to 2^23 items
    with whole(path) as partial:
        table[["version", *COLUMNS]].astype(types).to_parquet(partial, index=False, compression="zstd")


def ahead(table: pd.DataFrame, cells: Sequence[str], averaged: Sequence[str], kept: Kept) -> pd.DataFrame:
    """Who is ahead among the cells of a sweep's table, on the same parts; see `who_is_ahead`.

    Args:
        table: one row a run.
        cells: varied parameters that name a cell.
        averaged: the other ones; equal values are one test set.
        kept: scores by version; runs without any are left out.

    Returns:
        columns of `who_is_ahead` but `name`, indexed by the cell's values; no rows where fewer than two cells can
        be compared.
    """
    runs: dict[Hashable, dict[Hashable, LabelledScores]] = {}
    for row in table.to_dict("records"):
        if (own := kept.get(str(row.get("version")))) is None or own["anomalous"].nunique() < 2:
            continue
        cell, run = (tuple(str(row[key]) for key in names) for names in (cells, averaged))
        runs.setdefault(cell, {})[run] = _labelled(own)
    if len(runs) < 2:
        return pd.DataFrame()
    found = who_is_ahead(runs)
    return found.drop(columns="name").set_axis(pd.Index(found["name"], tupleize_cols=False), axis=0)


def _labelled(own: pd.DataFrame) -> LabelledScores:
    bad, rank, unit = (own[name].to_numpy() for name in ("anomalous", "rank", "unit"))
    return LabelledScores(rank[~bad], rank[bad], unit[~bad].astype(str), unit[bad].astype(str))
