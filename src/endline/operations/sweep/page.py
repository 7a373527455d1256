"""The page of a sweep: what was measured, how, on what, with what, and the tables."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version

from endline.operations.sweep.grid import Sweep
from endline.operations.sweep.table import DONE, Row, render_tables
from endline.reporting.provenance import KEY_PACKAGES


def render_page(sweep: Sweep, rows: Sequence[Row], facts: Mapping[str, str]) -> str:
    """The page `<name>.md`: what was measured, how, on what, and the tables.

    Args:
        sweep: the grid.
        rows: one a run.
        facts: heading -> sentence (command, data, runs, machine, versions, commit), listed in their order.
    """
    listed = "\n".join(f"- {name}: {value}" for name, value in facts.items())
    averaged = ", ".join(sweep.averaged) or "nothing"
    note = f"Mean ± sample standard deviation (n − 1) over {averaged}; in brackets the number of runs."
    if sweep.published:
        note += f" Published: {sweep.published['source']}"
    return f"# {sweep.name}\n\n{sweep.description}\n\n{listed}\n\n{render_tables(sweep, rows)}\n{note}\n"


def facts(sweep: Sweep, rows: Sequence[Row], options: str) -> dict[str, str]:
    """Heading -> sentence for the page.

    Args:
        sweep: the grid.
        rows: one a run.
        options: of the command, as they were given.
    """
    done = [row for row in rows if row["status"] == DONE]
    given = " --raw=" in options
    unmarked = "not marked as simulated" if given else "real"
    kind = "**SIMULATED**" if any(row["simulated"] == "True" for row in done) else unmarked
    own = f"`{sweep.data}`. {sweep.source}" if sweep.data else "the station's own"
    seconds = sum(float(row["seconds"]) for row in rows if row.get("seconds"))
    return {
        "Command": f"`kedro sweep {sweep.name}{options}`",
        "Data": f"{kind if done else 'unknown'}; {'the folder given by --raw' if given else own}",
        "Station": f"{sweep.station}, with {', '.join(f'{name}={value}' for name, value in sweep.fixed.items())}",
        "Runs": f"{len(done)} of {len(rows)} finished, {seconds / 60:.1f} minutes in all",
        "Machine": "; ".join(dict.fromkeys(row["machine"] for row in rows)),
        "Versions": ", ".join(f"{package} {version(package)}" for package in KEY_PACKAGES),
        "Git commit": ", ".join(dict.fromkeys(row["git_commit"] for row in rows)),
    }
