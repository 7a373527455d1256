"""Sweeps that join others: what is run, and the table of who carries over."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from endline.errors import EndlineError
from endline.operations.sweep.command import run_sweep
from endline.operations.sweep.joined import parse_joined, render_joined

GRID = {"station": "mirror_audio", "description": "One set.", "grid": {"detector": ["gaussian", "padim"]}}
DESCRIBED = {
    "wide": {**GRID, "data": "motors", "rows": ["detector"]},
    "floors": {**GRID, "grid": {"noise_floor": ["level", "raw"], **GRID["grid"]}},  # type: ignore[dict-item]
    "gone": {**GRID, "data": "absent"},
    "both": {"description": "Two sets.", "of": {"wide": None, "floors": {"noise_floor": "level"}}},
    "three": {"description": "Three sets.", "of": {"wide": None, "gone": None}},
}


@pytest.fixture
def described(project: Path) -> Path:
    (project / "conf/base/sweeps.yml").write_text(yaml.safe_dump(DESCRIBED, sort_keys=False))
    return project


def test_every_member_runs_once_and_its_chosen_rows_are_joined(described: Path, parents: Any, runs: Any) -> None:
    run_sweep("both", described, run=(first := runs()))
    assert len(first.jobs) == 2 + 4
    run_sweep("both", described, run=(again := runs()))
    assert again.jobs == []
    table = pd.read_csv(described / "benchmarks/results/both.csv")
    assert table["set"].tolist() == ["wide", "wide", "floors", "floors"]
    assert set(table["noise_floor"].dropna()) == {"level"}
    page = (described / "benchmarks/results/both.md").read_text()
    assert "[floors](floors.md), mirror_audio: noise_floor=level" in page
    assert "| gaussian | 0.900 (1) | 0.900 (1) | 0.900 | 1.5 | wide 0.900 |" in page


def test_a_set_that_is_not_here_is_named_and_stops_no_other(described: Path, parents: Any, runs: Any) -> None:
    with pytest.raises(EndlineError, match=r"Not everything was run\. The sweep 'gone' needs the data set 'absent'"):
        run_sweep("three", described, run=(run := runs()))
    assert len(run.jobs) == 2
    assert "- gone did not finish: The sweep 'gone'" in (described / "benchmarks/results/three.md").read_text()


def test_the_raw_folder_of_several_sets_cannot_be_one(described: Path, tmp_path: Path) -> None:
    with pytest.raises(EndlineError, match="joins several sets, so --raw has no meaning"):
        run_sweep("both", described, raw=tmp_path)


def test_nothing_finished_is_said(described: Path, parents: Any, runs: Any) -> None:
    with pytest.raises(EndlineError, match="None of the sweeps that 'both' joins has a finished run"):
        run_sweep("both", described, run=runs(lambda _: "no disk"))


@pytest.mark.parametrize("of", [None, {}, ["wide"], {"wide": "level"}, {"me": None}])
def test_a_wrong_description_is_refused(of: Any) -> None:
    with pytest.raises(EndlineError, match="joins others: write `description` and `of:"):
        parse_joined("me", {"description": "Words.", "of": of}, "sweeps.yml")


def test_ranks_are_of_those_that_ran_on_all_sets() -> None:
    rows = [("a", "one", 0.9), ("a", "two", 0.7), ("b", "one", 0.8), ("b", "two", 0.8), ("c", "one", 0.99)]
    table = pd.DataFrame(rows, columns=["detector", "set", "auroc"])
    table = table.assign(status="done", station="here", default=table["detector"] == "b", recall=0.5)
    text = render_joined(table)
    assert "| a | 0.900 (1) | 0.700 (1) | 0.800 | 1.5 | two 0.700 | two 0.100 |" in text
    assert "| b (default) | 0.800 (1) | 0.800 (1) | 0.800 | 1.5 | one 0.800 | one 0.100 |" in text
    assert "| c | 0.990 (1) | – | – | – | – | – |" in text
    assert "| one | c | 0.500 (1) |" in text


def test_a_member_without_detectors_is_refused(described: Path, parents: Any, runs: Any) -> None:
    plain = {**DESCRIBED["wide"], "grid": {"fold": [0]}, "rows": ["fold"], "fixed": {"detector": "gaussian"}}
    given = {"plain": plain, "join": {"description": "One.", "of": {"plain": None}}}
    (described / "conf/base/sweeps.yml").write_text(yaml.safe_dump(given, sort_keys=False))
    with pytest.raises(EndlineError, match="'plain' compares no detectors"):
        run_sweep("join", described, run=runs())
