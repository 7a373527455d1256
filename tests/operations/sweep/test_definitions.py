"""Where sweeps are described: the user's file, the project's, overlays; and the project's own descriptions."""

import logging
from collections.abc import Callable
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from endline.detectors.registry import build_detector
from endline.detectors.sound.aegan import SCORES
from endline.errors import EndlineError
from endline.operations.sweep.definitions import PROJECTS, find_joined, find_sweep, laid_over, projects, users
from endline.operations.sweep.grid import Sweep, parse_sweep

ROOT = Path(__file__).parents[3]
DETECTORS = yaml.safe_load((ROOT / "conf/base/parameters/detectors.yml").read_text())["detectors"]
GIVEN = projects(ROOT)
OWN: dict[str, Sweep] = {
    name: parse_sweep(name, {key: value for key, value in given.items() if key != "overlays"}, PROJECTS)
    for name, given in GIVEN.items()
    if "of" not in given
}
OTHER = {"station": "here", "description": "Words.", "grid": {"a": [1, 2], "seed": [0]}}


def write(project: Path, text: str) -> None:
    (project / "benchmarks").mkdir(exist_ok=True)
    (project / "benchmarks/sweeps.yml").write_text(text)


def test_both_files_are_read_and_the_users_wins(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert find_sweep("tiny", project).description == "Two folds."  # no folder `benchmarks`
    write(project, yaml.safe_dump({"tiny": OTHER, "other": OTHER}))
    assert find_sweep("other", project).grid == OTHER["grid"]
    assert find_sweep("tiny", project).description == "Two folds."
    warned = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert warned == [
        "The sweep 'tiny' is described in conf/base/sweeps.yml and in benchmarks/sweeps.yml: the first is taken."
    ]


def test_an_unknown_sweep_is_answered_with_the_known_ones(project: Path) -> None:
    write(project, yaml.safe_dump({"other": OTHER}))
    known = r"tiny \(conf/base/sweeps.yml\); other \(benchmarks/sweeps.yml\)\."
    with pytest.raises(EndlineError, match=rf"There is no sweep 'nothing': choose one of {known}"):
        find_sweep("nothing", project)
    (project / "conf/base/sweeps.yml").unlink()
    (project / "benchmarks/sweeps.yml").unlink()
    assert users(project) == {}
    with pytest.raises(EndlineError, match="choose one of none, as no file describes any"):
        find_sweep("nothing", project)


def test_a_file_that_is_no_yaml_is_named(project: Path) -> None:
    write(project, "a: [1")
    with pytest.raises(EndlineError, match=r"benchmarks/sweeps.yml cannot be read as YAML \(.*\): correct it"):
        find_sweep("other", project)


def test_overlays_are_laid_over_group_by_group(project: Path, describe: Callable[..., None]) -> None:
    describe(overlays={"paper": {"grid": {"fold": [0, 1, 2]}}})
    assert find_sweep("tiny", project).grid == {"noise_floor": ["level", "raw"], "fold": [0, 1]}
    assert find_sweep("tiny", project, "paper").grid == {"noise_floor": ["level", "raw"], "fold": [0, 1, 2]}
    (project / "conf/smoke/sweeps.yml").write_text("tiny: {fixed: {folds: 2}}")
    assert find_sweep("tiny", project, "smoke").fixed == {"detector": "gaussian", "folds": 2}


def test_the_projects_sweeps() -> None:
    counts = {name: len(sweep.points()) for name, sweep in OWN.items()}
    assert counts["mirror42"] == 48
    assert OWN["mirror42"].averaged == ["shuffle", "fold"]
    assert counts["mirror_table2"] == 5 * 3 * 3
    assert counts["mirror_table3"] == 6 * 3
    hybrid = {"backbone": "resnet18", "input_type": "hybrid"}
    assert OWN["mirror_table2"].published_figure(hybrid, "auroc") == (0.958, None)
    assert OWN["mirror_table3"].published_figure({"detectors.hybrid_flow.blocks": 4}, "auroc") == (0.961, None)


def test_the_published_settings_go_with_nine_runs_as_published() -> None:
    sweep, base = find_sweep("robot_table_8_2", ROOT, "paper"), OWN["robot_table_8_2"]
    assert len(sweep.grid["seed"]) == 9
    assert sweep.grid["detector"] == base.grid["detector"]
    assert sweep.published == base.published
    assert "nine" in sweep.description


def test_the_joined_sweeps_take_rows_that_their_members_have() -> None:
    joined = find_joined("carry", ROOT)
    assert joined is not None
    for name, rows in joined.of.items():
        sweep = find_sweep(name, ROOT)
        assert "detector" in sweep.grid
        assert all(value in sweep.grid[key] for key, value in rows.items())
    assert find_joined("mirror42", ROOT) is None


def test_the_users_file_shows_a_sweep_that_can_be_run() -> None:
    (name,) = users(ROOT)
    assert len(find_sweep(name, ROOT).points()) == 6


def test_the_scores_of_aegan_are_all_compared() -> None:
    assert OWN["jiang_table_1_scores"].grid["detectors.aegan.score"] == list(SCORES)


@pytest.mark.parametrize(
    ("sweep", "figure", "count"),
    [
        ("garcia_table_1", "auc_target", 14),
        ("kazakova_table_1", "auc_mean", 7),
        ("kazakova_table_2", "pauc_mean", 7),
        ("kazakova_table_3", "auc_mean", 7),
        ("jiang_table_1", "official_score", 25),
        ("jiang_table_2", "official_score", 10),
    ],
)
def test_published_figures_of_machines_stand_in_the_columns_that_are_shown(sweep: str, figure: str, count: int) -> None:
    own = OWN[sweep]
    published = [entry for entry in own.published["figures"] if figure in entry]
    assert figure in own.figures
    assert len(published) == count
    assert all(0 < own.published_figure(entry, figure).value < 1 for entry in published)  # type: ignore[union-attr]


@pytest.mark.parametrize("env", ["base", "paper"])
def test_every_sweep_of_clips_has_settings_that_its_detectors_take(env: str) -> None:
    overlay = yaml.safe_load((ROOT / f"conf/{env}/parameters/detectors.yml").read_text())["detectors"]
    known = laid_over(DETECTORS, overlay)
    for name in (name for name, sweep in OWN.items() if sweep.station == "machine_audio"):
        own = OWN[name]
        machines = {key: ["fan", "gearbox"] for key, values in own.grid.items() if values == "folders"}
        fixed = {**own.fixed, **GIVEN[name].get("overlays", {}).get(env, {}).get("fixed", {})}
        sweep = replace(own, fixed=fixed, grid={**own.grid, **machines})
        for point in sweep.points():
            given = sweep.parameters(point)
            build_detector(given["detector"], laid_over(known, given.get("detectors", {})))


def _settings(sweep: Sweep) -> set[str]:
    groups: list[dict[str, Any]] = [sweep.fixed, sweep.grid, *sweep.variants.values()]
    return {key for group in groups for key in group if key.startswith("detectors.")}


def test_the_projects_sweeps_name_settings_that_detectors_have() -> None:
    named = set().union(*(_settings(sweep) for sweep in OWN.values()))
    assert "detectors.ast.code" in named
    for key in named:
        _, detector, field = key.split(".")
        module, _, name = DETECTORS[detector]["type"].rpartition(".")
        config = getattr(import_module(module), name).Config
        assert field in {each.name for each in fields(config)}, key
