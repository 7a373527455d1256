"""The grid of a sweep: checked, and expanded into the parameters of single runs."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from endline.dotted import nest
from endline.errors import EndlineError, nearest

VARIANT = "variant"
FOLDERS = "folders"
OFFICIAL = "official_score"
# Column of the CSV -> head.
FIGURES = {
    "auroc": "AUROC",
    "auroc_mean_of_kinds": "mean AUROC of the kinds",
    OFFICIAL: "official score (harmonic mean of source AUC, target AUC and pAUC)",
    "auc_source": "source AUC",
    "auc_target": "target AUC",
    "auc_mean": "mean AUC",
    "pauc_mean": "mean pAUC",
    "pixel_auroc": "pixel AUROC",
}
_OF_SECTION = re.compile(r"auc_section_(.+)")  # of both domains of a section, see `results`
Point = dict[str, Any]


class Published(NamedTuple):
    """A published figure, and its standard deviation over runs where one is given.

    Example:
        >>> str(Published(0.9)), str(Published(0.691, 0.049))
        ('0.900', '0.691 ± 0.049')
    """

    value: float
    deviation: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.3f}" + ("" if self.deviation is None else f" ± {self.deviation:.3f}")


def head_of(figure: str) -> str | None:
    """Head of a figure's column in the tables; None for what is no figure.

    Example:
        >>> head_of("auc_source"), head_of("auc_section_02"), head_of("seed")
        ('source AUC', 'AUC of section 02', None)
    """
    section = _OF_SECTION.fullmatch(figure)
    return f"AUC of section {section[1]}" if section else FIGURES.get(figure)


@dataclass(frozen=True)
class Sweep:
    """One named grid, as a sweeps.yml describes it.

    Attributes:
        name: its name; the results are `benchmarks/results/<name>.csv` and `.md`.
        station: the registered pipeline that runs.
        description: what it measures and by which protocol, in sentences.
        grid: parameter -> its values, the last one varying fastest. A parameter is what `kedro run --params=` takes,
            dotted ones too (`detectors.hybrid_flow.blocks`). `folders` instead of a list, or in it, stands for the
            names of the raw folder's sub-folders (categories, machines), see `with_folders`.
        data: folder of the raw files below ENDLINE_DATA; None: the station finds or simulates its own.
        source: where the data can be had, one sentence.
        fixed: parameters that are the same in every run.
        variants: name -> the parameters that it changes (none for the default); the grid then varies `variant`
            slowest. For comparisons in which one thing at a time is changed.
        derived: parameter -> `by` (a parameter of the grid) and `values` (that one's value -> this one's value).
        rows: varied parameters that name the rows of the table; those in neither rows nor columns are averaged over.
        columns: varied parameters that name its columns; none: one column for each figure.
        figure: what the tables compare, one or a list of `FIGURES`, or `auc_section_<section>`.
        published: `source` (a sentence) and `figures`, each the cell (varied parameters and their values; those left
            out stand for all) and its figures by those names, a number or mean and standard deviation.

    Example:
        >>> sweep = Sweep("seeds", "mirror_audio", "Three seeds.", grid={"detector": ["gaussian"], "seed": [0, 1, 2]})
        >>> sweep.points()[1]
        {'detector': 'gaussian', 'seed': 1}
    """

    name: str
    station: str
    description: str
    grid: dict[str, Any]
    data: str | None = None
    source: str = ""
    fixed: dict[str, Any] = field(default_factory=dict)
    variants: dict[str, dict[str, Any]] = field(default_factory=dict)
    derived: dict[str, dict[str, Any]] = field(default_factory=dict)
    rows: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    figure: str | list[str] = "auroc"
    published: dict[str, Any] = field(default_factory=dict)

    @property
    def averaged(self) -> list[str]:
        """Varied parameters that a cell of the table averages over."""
        return [name for name in self.grid if name not in (*self.rows, *self.columns)]

    @property
    def figures(self) -> list[str]:
        """Columns that the tables compare."""
        return [self.figure] if isinstance(self.figure, str) else self.figure

    def with_folders(self, raw: Path | None) -> "Sweep":
        """The sweep with the sub-folders of the raw folder, but for a fixed `group`, in the place of `folders`.

        Raises:
            EndlineError: when there is none.
        """
        if not any(FOLDERS in _listed(values) for values in self.grid.values()):
            return self
        folders = sorted(path.name for path in raw.iterdir() if path.is_dir()) if raw is not None else []
        names = [name for name in folders if name != self.fixed.get("group")]
        if not names:
            raise EndlineError(f"The sweep '{self.name}' runs over the sub-folders of {raw}, and there is none.")
        grid = {
            key: [each for value in _listed(values) for each in (names if value == FOLDERS else [value])]
            for key, values in self.grid.items()
        }
        return replace(self, grid=grid)

    def points(self) -> list[Point]:
        """The runs: every combination of the grid's values, the last parameter varying fastest."""
        return [dict(zip(self.grid, values, strict=True)) for values in product(*self.grid.values())]

    def chosen(self, only: Sequence[str]) -> list[int]:
        """Numbers of the points that `--only` leaves.

        Args:
            only: `parameter=value` of the grid; several values of one parameter are alternatives. None: all points.

        Raises:
            EndlineError: for a parameter or value that the grid does not have.

        Example:
            >>> grid = {"detector": ["gaussian", "padim"], "seed": [0, 1, 2]}
            >>> Sweep("seeds", "surface_image", "Seeds.", grid).chosen(["seed=0", "seed=2", "detector=padim"])
            [3, 5]
        """
        wanted: dict[str, list[str]] = {}
        for choice in only:
            name, _, value = choice.partition("=")
            if name not in self.grid:
                raise EndlineError(
                    f"The sweep '{self.name}' does not vary '{name}' (--only): {nearest(name, self.grid)}"
                )
            if value not in (known := [str(each) for each in self.grid[name]]):
                raise EndlineError(f"The sweep '{self.name}' has no {choice} (--only): {nearest(value, known)}")
            wanted.setdefault(name, []).append(value)
        return [
            number
            for number, point in enumerate(self.points())
            if all(str(point[name]) in values for name, values in wanted.items())
        ]

    def parameters(self, point: Point) -> dict[str, Any]:
        """Nested runtime parameters of one run, fixed and derived ones included."""
        flat = {**self.fixed, **point}
        if self.variants:
            flat |= self.variants[flat.pop(VARIANT)]
        for name, rule in self.derived.items():
            if point[rule["by"]] in rule["values"]:
                flat[name] = rule["values"][point[rule["by"]]]
        return nest(flat)

    def published_figure(self, cell: Mapping[str, Any], figure: str) -> Published | None:
        """Published figure of a cell, or None."""
        for entry in self.published.get("figures", []):
            named = {name: value for name, value in entry.items() if head_of(name) is None}
            if figure in entry and all(str(cell.get(name)) == str(value) for name, value in named.items()):
                given = entry[figure]
                return Published(*given) if isinstance(given, list) else Published(given)
        return None


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def parse_sweep(name: str, description: Any, file: str) -> Sweep:
    """The sweep that a description in a sweeps.yml gives.

    Args:
        name: of the sweep.
        description: its mapping, as the attributes of `Sweep`.
        file: where it stands, for messages.

    Raises:
        EndlineError: for a description that is not one; the sentence says what is wrong in which file.

    Example:
        >>> seeds = parse_sweep("s", {"station": "a", "description": "Seeds.", "grid": {"seed": [0, 1]}}, "sweeps.yml")
        >>> seeds.points()
        [{'seed': 0}, {'seed': 1}]
    """
    where = f"The sweep '{name}' in {file}"
    if not isinstance(description, Mapping):
        raise EndlineError(f"{where} is no mapping: write station, description and grid below it.")
    given = dict(description)
    known = [item.name for item in fields(Sweep) if item.name != "name"]
    if unknown := [key for key in given if key not in known]:
        raise EndlineError(f"{where} has the unknown keys {unknown}: known are {', '.join(known)}.")
    if missing := [key for key in ("station", "description", "grid") if not given.get(key)]:
        raise EndlineError(f"{where} lacks {', '.join(missing)}: add it.")
    if given.get("variants"):
        given["variants"] = {variant: changes or {} for variant, changes in given["variants"].items()}
        given["grid"] = {VARIANT: list(given["variants"]), **given["grid"]}
    sweep = Sweep(name=name, **given)
    _check(sweep, where)
    return sweep


def _check(sweep: Sweep, where: str) -> None:
    for parameter, values in sweep.grid.items():
        if values != FOLDERS and (not isinstance(values, list) or not values):
            raise EndlineError(f"{where} gives {parameter} no list of values: write {parameter}: [first, second].")
    if unknown := [figure for figure in sweep.figures if head_of(figure) is None]:
        raise EndlineError(f"{where} has the figure '{unknown[0]}': choose one of {', '.join(FIGURES)}.")
    used = [*sweep.rows, *sweep.columns, *(rule["by"] for rule in sweep.derived.values())]
    used += [key for entry in sweep.published.get("figures", []) for key in entry if head_of(key) is None]
    if stray := sorted({parameter for parameter in used if parameter not in sweep.grid}):
        raise EndlineError(f"{where} names {stray}, which its grid does not vary: the grid has {list(sweep.grid)}.")
