"""The page of a sweep: what was measured, how, on what, with what, and the tables."""

from collections.abc import Mapping
from importlib.metadata import version

import pandas as pd

from endline.operations.sweep.grid import Sweep
from endline.operations.sweep.job import DONE
from endline.operations.sweep.results import DEFAULT
from endline.operations.sweep.table import render_leaders, render_tables
from endline.reporting.provenance import KEY_PACKAGES


def render_page(
    sweep: Sweep, table: pd.DataFrame, facts: Mapping[str, str], leaders: pd.DataFrame | None = None
) -> str:
    """The page `<name>.md`: what was measured, how, on what, and the tables.

    Args:
        sweep: the grid.
        table: one row a run.
        facts: heading -> sentence (command, data, runs, machine, versions, commit), listed in their order.
        leaders: who is ahead, as `ahead` gives it; None where nothing can be compared.
    """
    listed = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    averaged = ", ".join(sweep.averaged) or "nothing"
    note = f"Mean ± sample standard deviation (n − 1) over {averaged}; in brackets the number of runs."
    if sweep.published:
        note += f" Published: {sweep.published['source']}"
    paired = "" if leaders is None or leaders.empty else f"\n{render_leaders(sweep, leaders)}"
    tables = f"{render_tables(sweep, table)}{paired}"
    return f"# {sweep.name}\n\n{sweep.description}\n\n{listed}\n\n{tables}\n{note}\n"


def facts(sweep: Sweep, table: pd.DataFrame, options: str) -> dict[str, str]:
    """Heading -> sentence for the page.

    Args:
        sweep: the grid.
        table: one row a run.
        options: of the command, as a reader would give them.
    """
    done = table[table["status"] == DONE]
    given = " --raw=" in options
    unmarked = "not marked as simulated" if given else "real"
    simulated = "simulated" in done and bool(done["simulated"].fillna(False).any())
    origin = ("**SIMULATED**" if simulated else unmarked) if len(done) else "unknown"
    own = f"`{sweep.data}`. {sweep.source}" if sweep.data else "the station's own"
    return {
        "Command": f"`kedro sweep {sweep.name}{options}`",
        "Data": f"{origin}; {'the folder given by --raw' if given else own}",
        "Station": f"{sweep.station}, with {', '.join(f'{name}={value}' for name, value in sweep.fixed.items())}",
        **_default(table),
        "Runs": f"{len(done)} of {len(sweep.points())} finished, {table['seconds'].sum() / 60:.1f} minutes in all",
        "Machine": "; ".join(table["machine"].unique()),
        "Versions": ", ".join(f"{package} {version(package)}" for package in KEY_PACKAGES),
        "Git commit": ", ".join(table["git_commit"].unique()),
    }


def _default(table: pd.DataFrame) -> dict[str, str]:
    """The station's default detector, where runs of it are compared with others."""
    default = table[DEFAULT].fillna(False).astype(bool)
    names: list[str] = table.loc[default, "detector"].dropna().unique().tolist() if "detector" in table else []
    return {"Default detector": ", ".join(names)} if names and not default.all() else {}
