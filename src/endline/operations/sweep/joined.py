"""Several sweeps under one name: the same detectors on many sets, and one table of who carries over."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from endline.errors import EndlineError
from endline.files import write_whole
from endline.operations.sweep.grid import Sweep
from endline.operations.sweep.job import DONE
from endline.operations.sweep.results import DEFAULT, as_table, read_table, text, write_table
from endline.operations.sweep.table import CONTROL, COSTS, VERDICTS, as_markdown, figures

SET, STATION, DETECTOR = "set", "station", "detector"
MEAN_OF_KINDS = "auroc_mean_of_kinds"
HIDDEN = ("untrained_auroc", "pixel_auroc", "map_ms_per_sample", "parameter_count")  # they stand in the sets' own pages
SHOWN = {
    column: head
    for column, head in {**VERDICTS, CONTROL: ("control AUROC", 3), **COSTS}.items()
    if column not in HIDDEN
}


@dataclass(frozen=True)
class JoinedSweep:
    """Sweeps that are read together, each of one set.

    Attributes:
        name: its name; the results are `benchmarks/results/<name>.csv` and `.md`.
        description: what it compares, in sentences.
        of: name of a sweep, with `detector` in its grid, -> which of its rows are taken, by varied parameters.

    Example:
        >>> list(JoinedSweep("carry", "Two sets.", {"first": {}, "second": {"noise_floor": "level"}}).of)
        ['first', 'second']
    """

    name: str
    description: str
    of: Mapping[str, Mapping[str, Any]]


def parse_joined(name: str, description: Mapping[str, Any], file: str) -> JoinedSweep:
    """The joined sweep that a description in a sweeps.yml gives.

    Raises:
        EndlineError: for other keys than `description` and `of`, or none of them.

    Example:
        >>> parse_joined("carry", {"description": "Two sets.", "of": {"first": None}}, "sweeps.yml").of
        {'first': {}}
    """
    of = description.get("of")
    right = isinstance(of, Mapping) and all(rows is None or isinstance(rows, Mapping) for rows in of.values())
    if not right or not of or name in of or set(description) != {"description", "of"}:
        raise EndlineError(
            f"The sweep '{name}' in {file} joins others: write `description` and `of: {{first: , second: }}`, each "
            "with the values of its parameters that are taken, and nothing else."
        )
    return JoinedSweep(name, str(description["description"]), {key: dict(rows or {}) for key, rows in of.items()})


def joined_table(results: Path, joined: JoinedSweep, members: Sequence[Sweep]) -> pd.DataFrame:
    """Rows of all members' tables with the column `set`; `auroc` is the kind of AUROC that the member compares.

    Args:
        results: folder of the members' CSVs.
        joined: which rows are taken.
        members: its sweeps.

    Raises:
        EndlineError: for a member whose grid has no detector.
    """
    rows: list[dict[str, Any]] = []
    for member in members:
        if DETECTOR not in member.grid:
            raise EndlineError(f"The sweep '{member.name}' compares no detectors, so it cannot be joined to others.")
        table = read_table(results / f"{member.name}.csv", list(member.grid))
        for name, value in joined.of[member.name].items():
            table = table[table[name] == text(value)]
        figure = next((name for name in member.figures if name.startswith("auroc")), "auroc")
        for row in table.to_dict("records"):
            known = {str(key): None if pd.isna(value) else value for key, value in row.items()}
            rows.append({SET: member.name, **known, STATION: member.station, "auroc": known.get(figure)})
    return as_table(rows, [SET, DETECTOR])


def write_joined(project: Path, joined: JoinedSweep, members: Sequence[Sweep], missing: Mapping[str, str]) -> str:
    """Write `<name>.csv` and `<name>.md`; returns the tables.

    Args:
        project: the project's folder.
        joined: what is joined.
        members: its sweeps, in their order.
        missing: member -> why it did not finish.

    Raises:
        EndlineError: for a member without detectors, and where there is no row at all.
    """
    results = project / "benchmarks/results"
    table = joined_table(results, joined, members)
    if not len(table) or not (table["status"] == DONE).any():
        reasons = " ".join(missing.values())
        raise EndlineError(f"None of the sweeps that '{joined.name}' joins has a finished run. {reasons}".strip())
    write_table(results / f"{joined.name}.csv", table)
    tables = render_joined(table)
    rows = {name: ", ".join(f"{key}={value}" for key, value in of.items()) for name, of in joined.of.items()}
    notes = "".join(f"- {name} did not finish: {reason}\n" for name, reason in missing.items())
    sets = "\n".join(
        f"- [{member.name}]({member.name}.md), {_protocol(member, rows[member.name])}" for member in members
    )
    commits = ", ".join(sorted(table["git_commit"].dropna().unique()))
    write_whole(
        results / f"{joined.name}.md",
        f"# {joined.name}\n\n{joined.description}\n\nSets:\n\n{sets}\n{notes}\n"
        f"- Command: `kedro sweep {joined.name}`\n- Git commits: {commits}\n\n{tables}",
    )
    return tables


def render_joined(table: pd.DataFrame) -> str:
    """For each station AUROC by set, mean rank and worst set, then what the threshold does and what it costs.

    A rank is that among the detectors of a station that have finished on all of its sets, by mean AUROC; the others
    have none.

    Args:
        table: as `joined_table` gives it.
    """
    done = table[table["status"] == DONE]
    blocks = []
    for station, own in done.groupby(STATION, sort=False):
        cells = figures(own, [DETECTOR, SET], "auroc")
        sets = list(dict.fromkeys(own[SET]))
        means = own.astype({"auroc": float}).groupby([DETECTOR, SET], sort=False)["auroc"].mean().unstack()
        complete = means[means.notna().all(axis=1)]
        rank = complete.rank(ascending=False, method="average").mean(axis=1)
        best = complete.max(axis=0)
        default = own.loc[own[DEFAULT].fillna(False).astype(bool), DETECTOR].unique()
        lines = [[DETECTOR, *sets, "mean", "mean rank", "worst set", "most behind the best"]]
        for name in sorted(means.index, key=lambda each: (rank.get(each, float("inf")), each)):
            row = [f"{name} (default)" if name in default else name]
            row += [cells.get((name, each), "–") for each in sets]
            if name in rank:
                at = complete.loc[name]
                row += [f"{at.mean():.3f}", f"{rank[name]:.1f}", f"{at.idxmin()} {at.min():.3f}"]
                row += [f"{(best - at).idxmax()} {(best - at).max():.3f}"]
            else:
                row += ["–"] * 4
            lines.append(row)
        blocks.append(f"## {station}\n\nAUROC:\n\n{as_markdown(lines)}")
        heads = {column: head for column, head in SHOWN.items() if column in own and own[column].notna().any()}
        columns = [figures(own, [SET, DETECTOR], column, decimals) for column, (_, decimals) in heads.items()]
        lines = [[SET, DETECTOR, *(head for head, _ in heads.values())]]
        lines += [[*cell, *(column[cell] for column in columns)] for cell in columns[0]] if columns else []
        blocks.append(f"How sure, what the threshold does, maps and costs:\n\n{as_markdown(lines)}")
    return "\n\n".join(blocks) + "\n"


def _protocol(member: Sweep, rows: str) -> str:
    fixed = ", ".join(f"{name}={value}" for name, value in member.fixed.items())
    figure = " (mean of the kinds' AUROCs)" if member.figures[0] == MEAN_OF_KINDS else ""
    return f"{member.station}{figure}: {', '.join(filter(None, [rows, fixed])) or 'as it stands'}"
