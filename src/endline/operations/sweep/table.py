"""Results of a sweep as Markdown tables, one figure a cell."""

from collections import Counter
from collections.abc import Mapping, Sequence
from statistics import harmonic_mean

import pandas as pd

from endline.operations.sweep.grid import OFFICIAL, Published, Sweep, head_of
from endline.operations.sweep.job import DONE
from endline.operations.sweep.results import MEAN_OF_GROUPS, kinds_of
from endline.operations.sweep.scores import compared

CONTROL = "control_auroc"
NO_CONTROL = "No control AUROC: facts of the files alone, such as their size, tell no parts apart, or there are none."
Cell = tuple[str, ...]  # values of the varied parameters that name it
VERDICTS = {  # column of the table -> head, decimals
    "auroc_low": ("95 % interval of the test: from", 3),
    "auroc_high": ("to", 3),
    "baseline_auroc": ("baseline AUROC", 3),
    "untrained_auroc": ("untrained AUROC", 3),
    "recall": ("recall", 3),
    "false_alarm_rate": ("false alarms", 3),
    "promised_false_alarm_rate": ("promised", 3),
}
DOMAINS = {  # column of the table -> head, decimals
    "official_score": ("official score", 3),
    "auc_source": ("source AUC", 3),
    "auc_target": ("target AUC", 3),
    "pauc": ("pAUC", 3),
    "false_alarm_rate_domain_source": ("false alarms, source", 3),
    "false_alarm_rate_domain_target": ("false alarms, target", 3),
}
COSTS = {  # column of the table -> head, decimals
    "aupro": ("AUPRO", 3),
    "pixel_auroc_mean_of_kinds": ("pixel AUROC, mean of kinds", 3),
    "pixel_auroc": ("of all pixels", 3),
    "feature_seconds": ("s of features, all samples", 0),
    "fit_seconds": ("s of training", 1),
    "score_ms_per_sample": ("ms a sample scored", 1),
    "map_ms_per_sample": ("ms of its map more", 1),
    "peak_memory_mb": ("peak MB", 0),
    "parameter_count": ("fitted values", 0),
}


def render_tables(sweep: Sweep, table: pd.DataFrame) -> str:
    """Markdown tables of the sweep: AUROC and control, verdicts, domains, kinds and groups, costs, what failed.

    A figure is mean ± sample standard deviation (n - 1 in the denominator) over the averaged parameters, with the
    number of runs behind it; one run alone has no deviation.

    Args:
        sweep: the grid.
        table: one row a run, in the grid's order.
    """
    blocks = _pivots(sweep, table) if sweep.columns else [_side_by_side(sweep, table)]
    if verdicts := {column: head for column, head in VERDICTS.items() if _known(table, column)}:
        blocks.append("How sure, and what the threshold does:\n\n" + _by_column(sweep, table, verdicts))
    if any(_known(table, column) for column in DOMAINS if column != "pauc"):
        domains = {column: head for column, head in DOMAINS.items() if _known(table, column)}
        blocks.append("Domains, as DCASE Task 2 compares them:\n\n" + _by_column(sweep, table, domains))
    if kinds := kinds_of(table):
        heads = {column: (kind, 3) for kind, column in kinds.items()}
        blocks.append("AUROC of each kind of fault:\n\n" + _by_column(sweep, table, heads))
    if _known(table, MEAN_OF_GROUPS):
        groups = {
            name: (name.removeprefix("auroc_group_"), 3)
            for name in map(str, table.columns)
            if name.startswith("auroc_group_")
        }
        heads = {MEAN_OF_GROUPS: ("mean", 3), **groups}
        blocks.append(
            "AUROC of each group, its own normals against its own faults:\n\n" + _by_column(sweep, table, heads)
        )
    if costs := {column: head for column, head in COSTS.items() if _known(table, column)}:
        blocks.append("Costs, and the anomaly maps against the masks:\n\n" + _by_column(sweep, table, costs))
    other = table[table["status"] != DONE]
    if len(other):
        counts = Counter(zip(other["status"], other["reason"], strict=True))
        blocks.append("\n".join(f"- {n} run(s) {status}: {reason}" for (status, reason), n in counts.items()))
    return "\n\n".join(blocks) + "\n"


def render_leaders(sweep: Sweep, leaders: pd.DataFrame) -> str:
    """Who is ahead, the first on top: AUROC with the interval of the test's parts, and how far behind the first.

    Args:
        sweep: the grid.
        leaders: as `ahead` gives it.
    """
    names = compared([*sweep.rows, *sweep.columns])
    heads = ["AUROC", "95 % interval", "behind the first by", "95 % interval, paired", "the first is ahead"]
    lines = [[*map(_label, names), *heads]]
    for cell, row in leaders.sort_values("auroc", ascending=False, kind="stable").iterrows():
        assert isinstance(cell, tuple)
        own = [*map(str, cell), f"{row['auroc']:.3f}", f"{row['low']:.3f} to {row['high']:.3f}"]
        if row["behind"] == row["behind_low"] == row["behind_high"] == 0:
            lines.append([*own, "–", "–", "equal" if len(lines) > 1 else "–"])
            continue
        sure = "surely" if row["behind_low"] > 0 else "not shown"
        apart = f"{row['behind_low']:.3f} to {row['behind_high']:.3f}"
        lines.append([*own, f"{row['behind']:.3f}", apart, sure])
    runs = int(leaders["runs"].iloc[0])
    note = (
        f"Who is ahead: paired bootstrap of the tested parts, {runs} run{'s' * (runs > 1)} each; the same parts "
        "are drawn for all. The spread over seeds is not in it, and the first is the best of those compared."
    )
    return f"{note}\n\n{as_markdown(lines)}\n"


def figures(table: pd.DataFrame, by: Sequence[str], column: str, decimals: int = 3) -> dict[Cell, str]:
    """Mean ± deviation (runs) of a column in each cell, over finished runs; else why there is none.

    Args:
        table: one row a run.
        by: varied parameters that make the cells.
        column: the figure; need not be in the table.
        decimals: of the figure.

    Returns:
        the cell's values -> text, in the order of the cells' first runs.

    Example:
        >>> table = pd.DataFrame({"fold": ["0", "1"], "a": ["x", "x"], "status": "done", "auroc": [0.8, 0.9]})
        >>> figures(table, ["a"], "auroc")
        {('x',): '0.850 ± 0.071 (2)'}
    """
    done = table["status"] == DONE
    values = table[column].where(done).astype(float) if column in table else pd.Series(float("nan"), table.index)
    own = [tuple(cell) for cell in table[list(by)].to_numpy(object)]
    order: dict[Cell, int] = {cell: number for number, cell in enumerate(dict.fromkeys(own))}
    numbers = pd.Series([order[cell] for cell in own], table.index, dtype=int)
    moments = values.groupby(numbers).agg(["mean", "std", "count"])
    reasons = table["status"].where(~done).groupby(numbers).first().fillna("–")
    return {
        cell: _figure(mean, deviation, count, decimals) if count else str(reasons[number])
        for (cell, number), (mean, deviation, count) in zip(order.items(), moments.to_numpy().tolist(), strict=True)
    }


def _figure(mean: float, deviation: float, count: float, decimals: int) -> str:
    spread = f" ± {deviation:.{decimals}f}" if count > 1 else ""
    return f"{mean:.{decimals}f}{spread} ({count:.0f})"


def _known(table: pd.DataFrame, column: str) -> bool:
    return column in table and bool(table[column].notna().any())


def _published(sweep: Sweep, names: Sequence[str], cell: Sequence[str], figure: str) -> Published | None:
    return sweep.published_figure(dict(zip(names, cell, strict=True)), figure)


def _text(published: Published | None) -> str:
    return "" if published is None else str(published)


def _has_published(sweep: Sweep, figure: str) -> bool:
    return any(figure in entry for entry in sweep.published.get("figures", []))


def _side_by_side(sweep: Sweep, table: pd.DataFrame) -> str:
    """One line a cell: figures, each with the published one beside it, and the control's AUROC."""
    heads = list(map(_label, sweep.rows))
    lines: dict[Cell, list[str]] = {}
    for figure in sweep.figures:
        published = _has_published(sweep, figure)
        heads += [f"{head_of(figure)}", *([f"published {head_of(figure)}"] if published else [])]
        for cell, own in figures(table, sweep.rows, figure).items():
            line = lines.setdefault(cell, list(map(_cell, cell)))
            line += [own, *([_text(_published(sweep, sweep.rows, cell, figure))] if published else [])]
    for cell, control in figures(table, sweep.rows, CONTROL).items():
        lines[cell].append(control)
    return as_markdown([[*heads, "control AUROC"], *lines.values()])


def _pivots(sweep: Sweep, table: pd.DataFrame) -> list[str]:
    """One table a figure: the rows' parameters down, the columns' across, published figures beside ours."""
    names, split = [*sweep.rows, *sweep.columns], len(sweep.rows)
    blocks = []
    for figure, title in {**{each: head_of(each) for each in sweep.figures}, CONTROL: "Control AUROC"}.items():
        if figure == CONTROL and not _known(table, CONTROL):
            blocks.append(NO_CONTROL)
            continue
        cells = figures(table, names, figure)
        across = list(dict.fromkeys(cell[split:] for cell in cells))
        published = _has_published(sweep, figure)
        harmonic = figure == OFFICIAL and "group" in sweep.columns and len(across) > 1
        heads = [*(", ".join(map(_cell, values)) for values in across), *(["harmonic mean"] if harmonic else [])]
        header = [part for head in heads for part in ([head, f"{head}, published"] if published else [head])]
        lines = [[*map(_label, sweep.rows), *header]]
        for row in dict.fromkeys(cell[:split] for cell in cells):
            line = list(map(_cell, row))
            known = [_published(sweep, names, (*row, *values), figure) for values in across]
            for values, given in zip(across, known, strict=True):
                line += [cells.get((*row, *values), "–"), *([_text(given)] if published else [])]
            if harmonic:
                means = [_mean(table, names, (*row, *values), figure) for values in across]
                line += [_harmonic_mean(means)]
                line += [_harmonic_mean([each and each.value for each in known])] if published else []
            lines.append(line)
        blocks.append(f"{title}:\n\n{as_markdown(lines)}")
    return blocks


def _mean(table: pd.DataFrame, names: Sequence[str], cell: Cell, figure: str) -> float | None:
    """Mean of a figure over the finished runs of a cell."""
    inside = (table[list(names)] == list(cell)).all(axis=1) & (table["status"] == DONE)
    values = table.loc[inside, figure].dropna().tolist() if figure in table else []
    return sum(values) / len(values) if values else None


def _harmonic_mean(values: Sequence[float | None]) -> str:
    """Of the cells of a line, as DCASE joins machines; nothing where one is missing."""
    known = [value for value in values if value is not None]
    return f"{harmonic_mean(known):.3f}" if len(known) == len(values) else "–"


def _cell(value: str) -> str:
    """A varied value as the tables show it."""
    return value or "none"


def _by_column(sweep: Sweep, table: pd.DataFrame, heads: Mapping[str, tuple[str, int]]) -> str:
    """One line a cell with a finished run; heads: column of the table -> head, decimals."""
    names = [*sweep.rows, *sweep.columns]
    done = table[table["status"] == DONE]
    columns = [figures(done, names, column, decimals) for column, (_, decimals) in heads.items()]
    lines = [[*map(_label, names), *(head for head, _ in heads.values())]]
    lines += [[*map(_cell, cell), *(column[cell] for column in columns)] for cell in columns[0]]
    return as_markdown(lines)


def _label(parameter: str) -> str:
    """`detectors.hybrid_flow.blocks` is `blocks` in a table's head."""
    return parameter.rsplit(".", 1)[-1]


def as_markdown(lines: Sequence[Sequence[str]]) -> str:
    r"""Lines of cells, the first of them the heads, as a Markdown table; what Markdown would read is escaped.

    Example:
        >>> print(as_markdown([["a", "b"], ["1|2", "3"]]))
        | a | b |
        | --- | --- |
        | 1\|2 | 3 |
    """
    escaped = [[cell.replace("|", r"\|").replace("*", r"\*") for cell in line] for line in lines]
    drawn = ["| " + " | ".join(line) + " |" for line in escaped]
    return "\n".join([drawn[0], "|" + " --- |" * len(lines[0]), *drawn[1:]])
