"""Results of a sweep as a table with one row a run, and its CSV file."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import pandas as pd

from endline.evaluation.summary import METRICS
from endline.files import write_whole

DEFAULT = "default"  # column: whether the run's detector is the one that the station takes when nothing is said
FIRST = ("status", "reason", DEFAULT)  # columns before the metrics
# Columns after the metrics: what a resumed sweep compares, and where the run's outputs lie.
RECORD = ("seconds", "version", "mlflow_run_id", "settings_digest", "data_digest", "git_commit", "machine")
TEXT = ("status", "reason", "station", "group", "detector", *RECORD[1:])  # never read as numbers
SECTIONS = "by_section"
NESTED = {  # key of the metrics -> start of the columns, figure that they hold
    "auroc_by_kind": ("auroc_", "auroc"),
    "auroc_by_domain": ("auroc_domain_", "auroc"),
    "auroc_by_group": ("auroc_group_", "auroc"),
    "pixel_auroc_by_kind": ("pixel_auroc_", ""),
    "false_alarms_by_domain": ("false_alarm_rate_domain_", "rate"),
    "n_calibration_units_by_domain": ("n_calibration_units_domain_", ""),
    SECTIONS: ("", "value"),
}
MEAN_OF_GROUPS = "auroc_mean_of_groups"


def text(value: Any) -> str:
    """A varied value as it stands in the table: None is empty.

    Example:
        >>> text(0.5), text(None), text([1, 2])
        ('0.5', '', '[1, 2]')
    """
    return "" if value is None else str(value)


def flat_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """All keys of a metrics file, in their order, but for the reasons why a figure is missing.

    The nested ones become columns: `auroc_<kind>`, `auroc_domain_<domain>` and `auroc_group_<group>` (and the mean
    of these) with the AUROC alone, `false_alarm_rate_domain_<domain>`, and of several sections
    `<figure>_section_<section>`; their intervals and counts stay in the metrics file, which `version` finds. A kind
    whose column would carry the name of a metric (`low`) becomes `auroc_kind_<kind>`.

    Example:
        >>> flat_metrics({"auroc": 0.9, "auroc_by_kind": {"scratch": {"auroc": 0.8, "low": 0.7}}})
        {'auroc': 0.9, 'auroc_scratch': 0.8}
    """
    row: dict[str, Any] = {}
    for key, value in metrics.items():
        if key.endswith("_reason"):  # sentences stay in the metrics file
            continue
        if key not in NESTED:
            row[key] = value
            continue
        start, inner = NESTED[key]
        named = _of_sections(value or {}) if key == SECTIONS else value or {}
        for name, figure in named.items():
            column = f"{start}{name}"
            row[f"auroc_kind_{name}" if column in METRICS else column] = figure[inner] if inner and figure else figure
        if key == SECTIONS:
            row |= _plain_means(value or {})
        if key == "auroc_by_group" and value:
            row[MEAN_OF_GROUPS] = fmean(area["auroc"] for area in value.values())
    return row


def _of_sections(by_section: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """`<figure>_section_<section>` -> figure; none of a single section, which is the whole machine."""
    return {
        f"{name}_section_{section}": figure
        for section, figures in by_section.items()
        for name, figure in figures.items()
        if len(by_section) > 1
    }


def _plain_means(by_section: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Plain means of the sections' figures, a single section without its own; none where a section lacks a figure."""
    values = {
        name: {section: [of[each]["value"] for each in parts if of.get(each)] for section, of in by_section.items()}
        for name, parts in {"auc": ("auc_source", "auc_target"), "pauc": ("pauc",)}.items()
    }
    if not by_section or any(len(each) < 2 for each in values["auc"].values()) or not all(values["pauc"].values()):
        return {}
    of_sections = {f"auc_section_{section}": fmean(each) for section, each in values["auc"].items()}
    means = {f"{name}_mean": fmean(map(fmean, of.values())) for name, of in values.items()}
    return {**means, **(of_sections if len(by_section) > 1 else {})}


def kinds_of(table: pd.DataFrame) -> dict[str, str]:
    """Column of each kind of fault that the table has: kind -> column."""
    others = ("auroc_domain_", "auroc_group_", MEAN_OF_GROUPS)
    columns = [name for name in map(str, table.columns) if name.startswith("auroc_") and name not in METRICS]
    kinds = [name for name in columns if not name.startswith(others)]
    return {name.removeprefix("auroc_").removeprefix("kind_"): name for name in kinds}


def as_table(rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> pd.DataFrame:
    """Rows as a table of typed columns: varied parameters (as text), status and reason, default, metrics, record.

    Args:
        rows: one a run; what a row lacks, or has as None, is missing in the table.
        varied: parameters that the grid varies.

    Returns:
        nullable columns: whole numbers, numbers, truth values, texts.

    Example:
        >>> table = as_table([{"fold": 0, "auroc": 0.9, "status": "done"}, {"fold": 1, "status": "failed"}], ["fold"])
        >>> table["fold"].tolist(), str(table["auroc"].dtype), int(table["auroc"].count())
        (['0', '1'], 'Float64', 1)
    """
    metrics = [name for row in rows for name in row if name not in (*varied, *FIRST, *RECORD)]
    columns = dict.fromkeys([*varied, *FIRST, *metrics, *RECORD])
    return pd.DataFrame({name: _column(name, rows, varied) for name in columns})


def write_table(path: Path, table: pd.DataFrame) -> None:
    """Write a CSV file, whole or not at all.

    Raises:
        EndlineError: when the disk is full or read-only.
    """
    write_whole(path, table.to_csv(index=False, lineterminator="\n"))


def read_table(path: Path, varied: Sequence[str]) -> pd.DataFrame:
    """The table of a file that `write_table` wrote; without rows where there is no file."""
    if not path.exists():
        return as_table([], varied)
    table = pd.read_csv(
        path,
        dtype=dict.fromkeys((*varied, *TEXT), "string"),
        dtype_backend="numpy_nullable",
        keep_default_na=False,  # a group may be called NA
        na_values=[""],
    )
    known = [name for name in varied if name in table]
    return table.assign(**{name: table[name].fillna("") for name in known})


def _column(name: str, rows: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> Any:
    values: list[Any] = [row.get(name) for row in rows]
    if name in varied:
        return pd.array([text(value) for value in values], dtype="string")
    return pd.array(values, dtype="string" if name in TEXT else None)
