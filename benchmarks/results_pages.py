"""Pages of results for the documentation: mkdocs calls the functions `on_...` when it builds the site.

Every figure comes from the committed tables of `benchmarks/results`. A page of `docs/` asks for one by a comment on a
line of its own: `<!-- sweep mtd_tiles -->`, `<!-- table flow_training: case, gflops -->` or `<!-- false alarms -->`.
"""

import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import yaml
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from endline.operations.sweep.grid import Sweep, head_of, parse_sweep
from endline.operations.sweep.results import read_table
from endline.operations.sweep.table import Cell, as_markdown, figures

PROJECT = Path(__file__).parents[1]
RESULTS = PROJECT / "benchmarks/results"
COPIED = {"changelog.md": "CHANGELOG.md", "contributing.md": "CONTRIBUTING.md"}  # pages that are files of the project
WITHIN = {  # rows of a table that are shown
    "mirror42": {"noise_floor": "level"},  # the raw ones have a control of 0.995
    "simulated_plates": {"variant": "any angle"},  # the others are controls, told beside
    "turned_bottles": {"variant": "any angle"},
}
BY_UNIT = {  # sweep -> what is judged; no part is on both sides of the split
    "mirror42": "mirror motors",
    "mtd_tiles": "new magnetic tiles",
    "kolektor": "commutators",
    "dobot_cubes": "cubes at a robot",
    "juice_bottle": "juice bottles",
    "valve5": "valves, by sound",
    "unscrewing": "unscrewing",
    "hydraulic": "hydraulic rig",
    "force_torque": "gripper, five tasks",
    "machines_simulated": "six machines, by sound",
    "robot_cell": "robot cell",
}
LEAKING = {  # sweep -> why its figures are too good for new parts
    "mtd761": "95 to 99 % of the good photographs that are tested show a tile that was trained on.",
}
COLUMNS = {  # column of a sweep's table -> head, decimals
    "recall": ("recall", 3),
    "false_alarm_rate": ("false alarms", 3),
    "baseline_auroc": ("baseline", 3),
    "untrained_auroc": ("untrained", 3),
    "control_auroc": ("control", 3),
    "aupro": ("AUPRO", 3),
    "fit_seconds": ("training, s", 1),
}
LEADING = ("recall", "false_alarm_rate", "baseline_auroc", "control_auroc")
INTERVAL = "95 % of the AUROC"  # by the tested parts
HALF_UP = 1e-9  # so that 8.35 % is 8.4 %, whatever its last bit
ASKED = re.compile(r"^<!-- (sweep|table|false) (\w+)(?:: (.*?))? -->$", re.MULTILINE)


class Measured(NamedTuple):
    """A sweep with its committed table, of the rows that count."""

    sweep: Sweep
    table: pd.DataFrame

    @property
    def by(self) -> list[str]:
        """Varied parameters of a row of the documentation's tables: machines and categories are averaged over."""
        fixed = WITHIN.get(self.sweep.name, {})
        return [name for name in (*self.sweep.rows, *self.sweep.columns) if name not in fixed and name != "group"]

    def cells(self, column: str, decimals: int = 3) -> dict[Cell, str]:
        """Mean ± standard deviation (runs) of a column, by cell; empty where no run has one."""
        known = figures(self.table, self.by, column, decimals)
        return known if any(text[0].isdigit() for text in known.values()) else {}

    def intervals(self) -> dict[Cell, str]:
        """95 % interval of the AUROC by the tested parts of all runs, by cell, as the sweep's page has it."""
        text = (RESULTS / f"{self.sweep.name}.md").read_text().partition("\nWho is ahead")[2]
        rows = [re.split(r" *\| *", line)[1:-1] for line in text.splitlines() if line.startswith("|")]
        tables = [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]
        within = WITHIN.get(self.sweep.name, {})
        chosen = [row for row in tables if all(row.get(name) == value for name, value in within.items())]
        return {tuple(row[name] for name in self.by): row["95 % interval"] for row in chosen}

    def ranked(self, figure: str) -> list[Cell]:
        """The cells that have a figure, the best first."""
        known = self.cells(figure)
        return sorted((cell for cell in known if known[cell][0].isdigit()), key=lambda cell: known[cell], reverse=True)

    @property
    def default(self) -> str:
        """The station's default detector, as its parameters name it."""
        named = re.search(r"runtime_params:detector,(\w+)", parameters(self.sweep.station))
        assert named is not None
        return named[1]


@cache
def parameters(station: str) -> str:
    """The text of a station's parameters."""
    return (PROJECT / f"conf/base/parameters/{station}.yml").read_text()


@cache
def described() -> dict[str, Any]:
    """The project's sweeps: name -> description."""
    return dict(yaml.load((PROJECT / "benchmarks/sweeps.yml").read_text(), yaml.CSafeLoader))


@cache
def measured(name: str) -> Measured:
    """The sweep of a name with its table."""
    sweep = parse_sweep(name, described()[name], "benchmarks/sweeps.yml")
    table = read_table(RESULTS / f"{name}.csv", list(sweep.grid))
    for parameter, value in WITHIN.get(name, {}).items():
        table = table[table[parameter] == value]
    return Measured(sweep, table)


def sweep_table(name: str) -> str:
    """All detectors of a sweep, the best first: figure, interval, what the threshold does, baseline, control, costs."""
    of = measured(name)
    figure = of.sweep.figures[0]
    columns = {str(head_of(each)): of.cells(each) for each in dict.fromkeys([figure, "auroc"])}
    columns[INTERVAL] = of.intervals()
    columns |= {head: of.cells(column, decimals) for column, (head, decimals) in COLUMNS.items() if column in of.table}
    columns = {head: cells for head, cells in columns.items() if cells}
    lines = [[*of.by, *columns]]
    for cell in of.ranked(figure):
        named = [f"`{value}`" + (" (default)" if value == of.default else "") for value in cell]
        lines.append([*named, *(without_runs(cells.get(cell, "–")) for cells in columns.values())])
    return as_markdown(lines)


def leading_table() -> str:
    """The default detector of each set, and the best one where that is another."""
    lines = [
        ["what is judged", "training parts", "detector", "AUROC", INTERVAL, *(COLUMNS[name][0] for name in LEADING)]
    ]
    for name, what in BY_UNIT.items():
        of, ranked = measured(name), measured(name).ranked("auroc")
        columns = [of.cells("auroc"), of.intervals(), *(of.cells(column) for column in LEADING)]
        data = "SIMULATED" if of.table["simulated"].fillna(False).astype(bool).any() else "real"
        for cell in dict.fromkeys([cell for cell in ranked if cell[0] == of.default] + ranked[:1]):
            trained = of.table.loc[of.table["detector"] == cell[0], "n_train_units"].dropna().unique()
            number = " to ".join(map(str, sorted({min(trained), max(trained)})))
            role = "default" if cell[0] == of.default else "best of those run"
            named = [f"[{what}](sweeps/{name}.md), {data}", number, f"`{cell[0]}`, {role}"]
            lines.append([*named, *(without_runs(cells.get(cell, "–")) for cells in columns)])
    return as_markdown(lines)


def without_runs(figure: str) -> str:
    """A figure without the number of its runs, on one line."""
    return re.sub(r" \(\d+\)$", "", figure).replace(" ", "\N{NO-BREAK SPACE}")


def false_alarm_table() -> str:
    """Observed false alarms at a stated 5 %, from the least to the most of all detectors, by training parts."""
    table = pd.read_csv(RESULTS / "false_alarms.csv")
    chosen = table[(table["rate"] == 0.05) & (table["rule"] == "conformal")]
    numbers = sorted(chosen["parts"].unique())
    promised = [chosen.loc[chosen["parts"] == n, "promised"].iloc[0] for n in numbers]
    lines = [["training parts", *map(str, numbers)], ["can be promised", *(f"{100 * rate:.1f} %" for rate in promised)]]
    for pictures, named in ((1, "observed, a picture of each part"), (3, "observed, three pictures of each")):
        of = chosen[chosen["pictures"] == pictures].groupby("parts")["observed"].agg(["min", "max"]) * 100 + HALF_UP
        lines.append([named, *(f"{low:.1f} to {high:.1f} %" for low, high in of.loc[numbers].to_numpy())])
    return as_markdown(lines)


def plain_table(name: str, columns: list[str]) -> str:
    """Columns of a committed table."""
    table = pd.read_csv(RESULTS / f"{name}.csv")[columns]
    return as_markdown(
        [[column.replace("_", " ") for column in columns], *(map_cells(row) for row in table.to_numpy())]
    )


def map_cells(row: Any) -> list[str]:
    """The cells of a row as texts."""
    return [number(cell) if isinstance(cell, int | float) else "–" if pd.isna(cell) else str(cell) for cell in row]


def number(value: float) -> str:
    """A number to three digits, large ones whole.

    Example:
        >>> number(0.07861), number(2033.2), number(float("nan"))
        ('0.0786', '2,033', '–')
    """
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def warned(name: str, text: str) -> str:
    """The page of a sweep, with a warning below its title where its figures leak or are of simulated parts."""
    pieces = text.split("`")  # every other one is code, in which `<` is no tag
    text = "`".join(piece if n % 2 else piece.replace("<", "&lt;") for n, piece in enumerate(pieces))
    title, _, rest = text.partition("\n")
    if name in LEAKING:
        title += f'\n\n!!! danger "These figures leak"\n    {LEAKING[name]} They say little about new parts.\n'
    if "**SIMULATED**" in rest:
        title += '\n\n!!! warning "Simulated"\n    No real part was measured here.\n'
    return f"{title}\n{rest}"


def overview() -> Iterator[str]:
    """Lines of the first page of results."""
    yield (PROJECT / "docs/results/introduction.md").read_text()
    yield f"## By part\n\n{leading_table()}\n"
    yield "## Figures that leak\n\nKept for comparison with published ones, which were made in the same way.\n"
    for name, why in LEAKING.items():
        yield f'!!! danger "[{name}](sweeps/{name}.md)"\n    {why}\n'
    yield "## All tables\n"
    for path in sorted(RESULTS.glob("*.md")):
        title = path.read_text().partition("\n")[0].removeprefix("# ")
        mark = " (leaks)" if path.stem in LEAKING else " (simulated)" if "**SIMULATED**" in path.read_text() else ""
        yield f"- [{title}](sweeps/{path.name}){mark}"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made: the overview, one for each committed page, and files of the project."""
    made = {"results/index.md": "\n".join(overview())}
    made |= {f"results/sweeps/{path.name}": warned(path.stem, path.read_text()) for path in RESULTS.glob("*.md")}
    made |= {page: (PROJECT / name).read_text().replace("](docs/", "](") for page, name in COPIED.items()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    for picture in sorted(RESULTS.glob("*.png")):
        files.append(File.generated(config, f"results/{picture.name}", abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put the tables in the place of the comments that ask for them."""

    def asked(match: re.Match[str]) -> str:
        kind, name, columns = match.groups()
        try:
            if kind == "sweep":
                return sweep_table(name)
            return false_alarm_table() if kind == "false" else plain_table(name, re.split(r", *", columns))
        except (KeyError, FileNotFoundError) as error:
            raise PluginError(f"{page.file.src_uri}: there is nothing for `{match[0]}` ({error}).") from error

    return ASKED.sub(asked, markdown)
