"""Results of a sweep as files: a CSV table with one row a run, and a page of Markdown with one figure a cell."""

import csv
import io
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import fmean, stdev
from typing import Any
from uuid import uuid4

from endline.errors import EndlineError
from endline.evaluation.summary import METRICS
from endline.operations.sweep.grid import FIGURES, Sweep

Row = dict[str, str]
DONE, SKIPPED, FAILED = "done", "skipped", "failed"
# Columns after the metrics: what a resumed sweep compares, and where the run's outputs lie.
RECORD = ("seconds", "version", "mlflow_run_id", "settings_digest", "data_digest", "git_commit", "machine")
COSTS = {  # column of the CSV -> head in the table, decimals
    "pixel_auroc": ("pixel AUROC", 3),
    "feature_seconds": ("s of features, all samples", 0),
    "fit_seconds": ("s of training", 1),
    "score_ms_per_sample": ("ms a sample scored", 1),
    "map_ms_per_sample": ("ms of its map more", 1),
    "peak_memory_mb": ("peak MB", 0),
    "parameter_count": ("fitted values", 0),
}
NESTED = {
    "auroc_by_kind": "auroc_",
    "auroc_by_domain": "auroc_domain_",
    "auroc_by_group": "auroc_group_",
}
MEAN_OF_GROUPS = "auroc_mean_of_groups"


def text(value: Any) -> str:
    """A value as it stands in the CSV: None is empty."""
    return "" if value is None else str(value)


def flat_metrics(metrics: Mapping[str, Any]) -> Row:
    """All keys of a metrics file, in their order.

    The nested ones become columns: `auroc_<kind>`, `auroc_domain_<domain>` and `auroc_group_<group>` (and the mean
    of these) with the AUROC alone; their intervals and counts stay in the metrics file, which `version` finds. A
    kind whose column would carry the name of a metric (`low`) becomes `auroc_kind_<kind>`.
    """
    row: Row = {}
    for key, value in metrics.items():
        if key not in NESTED:
            row[key] = text(value)
            continue
        for name, found in (value or {}).items():
            column = f"{NESTED[key]}{name}"
            row[f"auroc_kind_{name}" if column in METRICS else column] = text(found["auroc"])
        if key == "auroc_by_group" and value:
            row[MEAN_OF_GROUPS] = text(fmean(found["auroc"] for found in value.values()))
    return row


def kinds_of(rows: Sequence[Row]) -> dict[str, str]:
    """Column of each fault kind that some row has a figure for: kind -> column."""
    columns = [name for row in rows for name in row if name.startswith("auroc_") and name not in METRICS]
    others = ("auroc_domain_", "auroc_group_", MEAN_OF_GROUPS)
    kinds = [name for name in dict.fromkeys(columns) if not name.startswith(others)]
    return {name.removeprefix("auroc_").removeprefix("kind_"): name for name in kinds}


def write_csv(path: Path, varied: Sequence[str], rows: Sequence[Row]) -> None:
    """Write all rows: varied parameters, status and reason, metrics, record. Whole or not at all, as `write_whole`."""
    metrics = [name for row in rows for name in row if name not in (*varied, "status", "reason", *RECORD)]
    file = io.StringIO()
    columns = dict.fromkeys([*varied, "status", "reason", *metrics, *RECORD])
    writer = csv.DictWriter(file, list(columns), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, file.getvalue())


def read_csv(path: Path) -> list[Row]:
    """Rows of a file that `write_csv` wrote; none where there is no file."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: value or "" for key, value in row.items() if key} for row in csv.DictReader(file)]


def write_whole(path: Path, content: str) -> None:
    """Write a text under a temporary name, then rename it.

    Raises:
        EndlineError: when the disk is full or read-only.
    """
    partial = path.with_name(f".{path.name}.{uuid4().hex[:8]}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.write_text(content, encoding="utf-8")
        os.replace(partial, path)
    except OSError as error:
        raise EndlineError(
            f"{path} could not be written ({error.strerror}): free or unlock the disk and run again."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


def render_tables(sweep: Sweep, rows: Sequence[Row]) -> str:
    """Markdown tables of the sweep: AUROC and control, AUROC of fault kinds and of groups, costs, what did not go.

    A figure is mean ± sample standard deviation (n - 1 in the denominator) over the averaged parameters, with the
    number of runs behind it; one run alone has no deviation.
    """
    blocks = _pivots(sweep, rows) if sweep.columns else [_plain(sweep, rows)]
    if kinds := kinds_of(rows):
        heads = {column: (kind, 3) for kind, column in kinds.items()}
        blocks.append("AUROC of each fault kind:\n\n" + _by_column(sweep, rows, heads))
    if any(row.get(MEAN_OF_GROUPS) for row in rows):
        groups = dict.fromkeys(name for row in rows for name in row if name.startswith("auroc_group_"))
        heads = {MEAN_OF_GROUPS: ("mean", 3), **{name: (name.removeprefix("auroc_group_"), 3) for name in groups}}
        blocks.append(
            "AUROC of each group, its own normals against its own faults:\n\n" + _by_column(sweep, rows, heads)
        )
    if costs := {column: head for column, head in COSTS.items() if any(row.get(column) for row in rows)}:
        blocks.append("Costs, and the anomaly maps against the masks:\n\n" + _by_column(sweep, rows, costs))
    reasons: dict[tuple[str, str], int] = {}
    for row in rows:
        if row["status"] != DONE:
            key = (row["status"], row["reason"])
            reasons[key] = reasons.get(key, 0) + 1
    if reasons:
        blocks.append("\n".join(f"- {n} run(s) {status}: {reason}" for (status, reason), n in reasons.items()))
    return "\n\n".join(blocks) + "\n"


def _cells(rows: Sequence[Row], names: Sequence[str]) -> dict[tuple[str, ...], list[Row]]:
    """Rows by the values of some varied parameters, in the order of the grid."""
    cells: dict[tuple[str, ...], list[Row]] = {}
    for row in rows:
        cells.setdefault(tuple(row[name] for name in names), []).append(row)
    return cells


def _figure(rows: Sequence[Row], column: str, decimals: int = 3) -> str:
    """Mean ± deviation (runs) of the finished rows that have the figure; else why there is none."""
    values = [float(row[column]) for row in rows if row["status"] == DONE and row.get(column)]
    if not values:
        return next((row["status"] for row in rows if row["status"] != DONE), "–")
    deviation = f" ± {stdev(values):.{decimals}f}" if len(values) > 1 else ""
    return f"{fmean(values):.{decimals}f}{deviation} ({len(values)})"


def _published(sweep: Sweep, rows: Sequence[Row]) -> str:
    figure = sweep.published_auroc(rows[0])
    return "" if figure is None else f"{figure:.3f}"


def _plain(sweep: Sweep, rows: Sequence[Row]) -> str:
    """One line a cell: AUROC, control AUROC and published AUROC beside one another."""
    last = ["published AUROC"] if sweep.published else []
    lines = [[*map(_label, sweep.rows), FIGURES[sweep.figure], "control AUROC", *last]]
    for cell, members in _cells(rows, sweep.rows).items():
        figures = [_figure(members, sweep.figure), _figure(members, "control_auroc")]
        lines.append([*cell, *figures, *([_published(sweep, members)] if last else [])])
    return _table(lines)


def _pivots(sweep: Sweep, rows: Sequence[Row]) -> list[str]:
    """One table a figure: the rows' parameters down, the columns' across, published figures beside the AUROC."""
    blocks = []
    for title, column in ((FIGURES[sweep.figure], sweep.figure), ("Control AUROC", "control_auroc")):
        told = bool(sweep.published) and column == sweep.figure
        across = list(_cells(rows, sweep.columns))
        names = [", ".join(values) for values in across]
        header = [part for name in names for part in ([name, f"{name}, published"] if told else [name])]
        lines = [[*map(_label, sweep.rows), *header]]
        for cell, members in _cells(rows, sweep.rows).items():
            found = _cells(members, sweep.columns)
            line = list(cell)
            for values in across:
                line.append(_figure(found[values], column))
                line += [_published(sweep, found[values])] if told else []
            lines.append(line)
        blocks.append(f"{title}:\n\n{_table(lines)}")
    return blocks


def _by_column(sweep: Sweep, rows: Sequence[Row], heads: Mapping[str, tuple[str, int]]) -> str:
    """One line a cell; heads: column of the CSV -> head in the table, decimals."""
    names = [*sweep.rows, *sweep.columns]
    lines = [[*map(_label, names), *(head for head, _ in heads.values())]]
    for cell, members in _cells(rows, names).items():
        if any(row["status"] == DONE for row in members):
            lines.append([*cell, *(_figure(members, column, decimals) for column, (_, decimals) in heads.items())])
    return _table(lines)


def _label(parameter: str) -> str:
    """`detectors.hybrid_flow.blocks` is `blocks` in a table's head."""
    return parameter.rsplit(".", 1)[-1]


def _table(lines: Sequence[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", r"\|").replace("*", r"\*") for cell in line] for line in lines]
    drawn = ["| " + " | ".join(line) + " |" for line in escaped]
    return "\n".join([drawn[0], "|" + " --- |" * len(lines[0]), *drawn[1:]])
