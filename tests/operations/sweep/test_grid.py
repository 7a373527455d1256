"""The grids of sweeps.yml: expansion, derived parameters, sentences for what is wrong; and the raw data of a sweep."""

from pathlib import Path
from typing import Any

import pytest

from endline.errors import EndlineError
from endline.operations.sweep.data import data_digest, raw_folder
from endline.operations.sweep.grid import Sweep, parse_sweep

PLAIN: dict[str, Any] = {"station": "here", "description": "Words.", "grid": {"a": [1, 2], "b": ["x", "y"]}}


def parse(**changes: Any) -> Sweep:
    return parse_sweep("plain", {**PLAIN, **changes}, "sweeps.yml")


def test_points_are_every_combination_and_the_last_parameter_varies_fastest() -> None:
    assert [tuple(point.values()) for point in parse().points()] == [(1, "x"), (1, "y"), (2, "x"), (2, "y")]


def test_parameters_join_fixed_varied_and_derived_ones_and_nest_the_dotted() -> None:
    derived = {"weights": {"by": "b", "values": {"x": None}}}
    sweep = parse(fixed={"net.flow.blocks": 3, "folds": 6}, derived=derived)
    assert sweep.parameters({"a": 1, "b": "x"}) == {
        "net": {"flow": {"blocks": 3}},
        "folds": 6,
        "a": 1,
        "b": "x",
        "weights": None,
    }
    assert "weights" not in sweep.parameters({"a": 1, "b": "y"})


def test_variants_change_one_thing_at_a_time() -> None:
    sweep = parse(fixed={"c": 0}, variants={"default": None, "other": {"c": 1, "d.e": 2}}, rows=["variant"])
    points = sweep.points()
    assert len(points) == 8
    assert points[0] == {"variant": "default", "a": 1, "b": "x"}
    assert sweep.parameters(points[0]) == {"c": 0, "a": 1, "b": "x"}
    assert sweep.parameters(points[-1]) == {"c": 1, "d": {"e": 2}, "a": 2, "b": "y"}
    assert sweep.averaged == ["a", "b"]


def test_a_grid_may_run_over_the_folders_of_the_data(tmp_path: Path) -> None:
    sweep = parse(grid={"group": "folders", "a": [1]}, rows=["group"])
    with pytest.raises(EndlineError, match=r"'plain' runs over the sub-folders of .*, and there is none\."):
        sweep.with_folders(tmp_path)
    for name in ("screw", "carpet"):
        (tmp_path / name).mkdir()
    (tmp_path / "readme.txt").touch()
    assert [point["group"] for point in sweep.with_folders(tmp_path).points()] == ["carpet", "screw"]
    assert parse().with_folders(tmp_path) == parse()


def test_what_is_neither_row_nor_column_is_averaged_over() -> None:
    assert parse(rows=["b"]).averaged == ["a"]


def test_folders_in_a_list_are_those_beside_the_fixed_group(tmp_path: Path) -> None:
    for name in ("fan", "slider", "valve"):
        (tmp_path / name).mkdir()
    sweep = parse(fixed={"group": "fan"}, grid={"outliers": ["", "folders"]}).with_folders(tmp_path)
    assert sweep.grid == {"outliers": ["", "slider", "valve"]}
    with pytest.raises(EndlineError, match="runs over the sub-folders of"):
        parse(fixed={"group": "fan"}, grid={"outliers": ["", "folders"]}).with_folders(None)


def test_a_published_figure_stands_for_all_cells_that_it_names() -> None:
    sweep = parse(published={"source": "Paper.", "figures": [{"b": "x", "auroc": 0.9, "auc_source": [0.7, 0.1]}]})
    assert sweep.published_figure({"a": 1, "b": "x"}, "auroc") == (0.9, None)
    assert sweep.published_figure({"a": "2", "b": "x"}, "auc_source") == (0.7, 0.1)
    assert sweep.published_figure({"a": 1, "b": "x"}, "auc_target") is None
    assert sweep.published_figure({"a": 1, "b": "y"}, "auroc") is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"grids": {}}, r"unknown keys \['grids'\]"),
        ({"grid": {}}, "lacks grid: add it"),
        ({"description": ""}, "lacks description"),
        ({"grid": {"a": 3}}, r"gives a no list of values: write a: \[first, second\]"),
        ({"grid": {"a": []}}, "gives a no list"),
        ({"figure": ["auroc", "auc"]}, "has the figure 'auc': choose one of auroc,"),
        ({"rows": ["c"]}, r"names \['c'\], which its grid does not vary"),
        ({"published": {"source": "", "figures": [{"c": 1, "auroc": 0.5}]}}, r"names \['c'\]"),
        ({"derived": {"w": {"by": "c", "values": {}}}}, r"names \['c'\]"),
    ],
)
def test_a_wrong_description_is_refused_with_its_sweep(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(EndlineError, match=rf"The sweep 'plain' in sweeps.yml .*{words}"):
        parse(**changes)


def test_the_data_are_looked_for_below_endline_data_and_then_beside_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, elsewhere = tmp_path / "project", tmp_path / "elsewhere"
    beside = tmp_path / "shared/data/motors"
    for folder in (project, elsewhere / "motors", beside):
        folder.mkdir(parents=True)
    sweep = parse(data="motors")
    monkeypatch.delenv("ENDLINE_DATA", raising=False)
    assert raw_folder(sweep, project, None) == beside
    monkeypatch.setenv("ENDLINE_DATA", str(elsewhere))
    assert raw_folder(sweep, project, None) == elsewhere / "motors"
    assert raw_folder(sweep, project, tmp_path) == tmp_path
    assert raw_folder(parse(), project, None) is None


def test_absent_data_are_named_with_their_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENDLINE_DATA", str(tmp_path))
    with pytest.raises(EndlineError, match=r"needs the data set 'motors', .*/motors\. From the shop\. .* --raw="):
        raw_folder(parse(data="motors", source="From the shop."), tmp_path, None)
    with pytest.raises(EndlineError, match=r"There is no folder .*nowhere \(from --raw\)"):
        raw_folder(parse(), tmp_path, tmp_path / "nowhere")


def test_the_digest_of_the_data_follows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(b"one")
    first = data_digest(tmp_path)
    assert data_digest(tmp_path) == first
    (tmp_path / "a.wav").write_bytes(b"two")
    second = data_digest(tmp_path)
    (tmp_path / "a.wav").rename(tmp_path / "b.wav")
    assert len({first, second, data_digest(tmp_path)}) == 3
