"""The files of a sweep: CSV rows, and Markdown figures recomputed by hand."""

from pathlib import Path
from typing import Any

import pytest

from endline.errors import EndlineError
from endline.operations.sweep import table as sweep_table
from endline.operations.sweep.grid import parse_sweep
from endline.operations.sweep.page import facts, render_page
from endline.operations.sweep.table import (
    Row,
    flat_metrics,
    kinds_of,
    read_csv,
    render_tables,
    write_csv,
    write_whole,
)

SWEEP: dict[str, Any] = {
    "station": "here",
    "description": "What it is.",
    "fixed": {"folds": 2},
    "grid": {"detector": ["plain", "flow"], "floor": ["level", "raw"], "fold": [0, 1, 2]},
    "published": {"source": "A paper.", "figures": [{"detector": "flow", "auroc": 0.958}]},
}
LONG = parse_sweep("long", {"long": {**SWEEP, "rows": ["floor", "detector"]}})
WIDE = parse_sweep("wide", {"wide": {**SWEEP, "rows": ["floor"], "columns": ["detector"]}})


def row(detector: str, floor: str, fold: int, auroc: float, status: str = "done", reason: str = "") -> Row:
    shown = {"auroc": str(auroc), "control_auroc": "0.5", "auroc_1*": str(auroc), "simulated": "False"}
    told = shown if status == "done" else {}
    known = {"detector": detector, "floor": floor, "fold": str(fold), "status": status, "reason": reason}
    return {**known, **told, "seconds": "30.0", "machine": "a machine", "git_commit": "abc"}


ROWS = [
    row("plain", "level", 0, 0.80),
    row("plain", "level", 1, 0.90),
    row("plain", "level", 2, 0.94),
    row("plain", "raw", 0, 0.7),
    row("flow", "level", 0, 0.0, "skipped", "No weights | none."),
    row("flow", "level", 1, 0.0, "skipped", "No weights | none."),
    row("flow", "raw", 0, 0.0, "failed", "It broke."),
]


def test_figures_are_mean_and_sample_deviation() -> None:
    # mean 0.88; squares 0.0064 + 0.0004 + 0.0036 = 0.0104, over n - 1 = 2: 0.0052, root 0.0721
    lines = render_tables(LONG, ROWS).splitlines()
    assert lines[0] == "| floor | detector | AUROC | control AUROC | published AUROC |"
    assert lines[2] == "| level | plain | 0.880 ± 0.072 (3) | 0.500 ± 0.000 (3) |  |"
    assert lines[3] == "| raw | plain | 0.700 (1) | 0.500 (1) |  |"
    assert lines[4] == "| level | flow | skipped | skipped | 0.958 |"
    assert lines[5] == "| raw | flow | failed | failed | 0.958 |"


def test_columns_stand_side_by_side_with_the_published_figures() -> None:
    lines = render_tables(WIDE, ROWS).splitlines()
    assert lines[2] == "| floor | plain | plain, published | flow | flow, published |"
    assert lines[4] == "| level | 0.880 ± 0.072 (3) |  | skipped | 0.958 |"
    assert "| level | 0.500 ± 0.000 (3) | skipped |" in lines  # the control has a table of its own


def test_faults_have_their_table_and_runs_that_did_not_go_their_reasons() -> None:
    told = render_tables(LONG, ROWS)
    assert "| floor | detector | 1\\* |" in told
    assert told.count("| level | plain | 0.880 ± 0.072 (3) |") == 2
    assert "- 2 run(s) skipped: No weights | none." in told
    assert "- 1 run(s) failed: It broke." in told


def test_costs_have_their_table_where_they_are_known() -> None:
    assert "Costs" not in render_tables(LONG, ROWS)
    known = [{**row, "pixel_auroc": "0.7512", "fit_seconds": "12.34", "parameter_count": "4200"} for row in ROWS[:3]]
    told = render_tables(LONG, known)
    assert "| floor | detector | pixel AUROC | s of training | fitted values |" in told
    assert "| level | plain | 0.751 ± 0.000 (3) | 12.3 ± 0.0 (3) | 4200 ± 0 (3) |" in told


def test_groups_have_their_table_beside_their_mean() -> None:
    grouped = [
        {**row, "auroc_group_screw": "0.5", "auroc_group_tile": "1.0", "auroc_mean_of_groups": "0.75"} for row in ROWS
    ]
    page = render_tables(LONG, grouped)
    assert "AUROC of each group, its own normals against its own faults:" in page
    assert "| mean | screw | tile |" in page
    assert "AUROC of each group" not in render_tables(LONG, ROWS)


def test_page_says_how_on_what_and_how_long() -> None:
    page = render_page(LONG, ROWS, facts(LONG, ROWS, " --env=smoke"))
    assert "- Command: `kedro sweep long --env=smoke`" in page
    assert "- Runs: 4 of 7 finished, 3.5 minutes in all" in page
    assert "- Machine: a machine" in page
    assert "- Git commit: abc" in page
    assert "over fold; in brackets the number of runs. Published: A paper." in page
    assert "- Data: real" in page


def test_simulated_data_are_told_in_capitals() -> None:
    simulated = [{**ROWS[0], "simulated": "True"}, *ROWS[1:]]
    assert facts(LONG, simulated, "")["Data"].startswith("**SIMULATED**")


def test_a_folder_of_the_users_is_not_called_real_only_because_it_bears_no_mark() -> None:
    assert facts(LONG, ROWS, " --raw=/here")["Data"] == "not marked as simulated; the folder given by --raw"


def test_metrics_become_flat_columns_without_intervals() -> None:
    metrics = {
        "auroc": 0.9,
        "auroc_low": 0.8,
        "auroc_by_kind": {"1*": {"auroc": 0.7, "low": 0.5, "high": 0.8, "n": 3}, "low": {"auroc": 0.6}},
        "auroc_by_domain": {"source": {"auroc": 0.55}},
        "auroc_by_group": {"screw": {"auroc": 0.5}, "tile": {"auroc": 1.0}},
        "pauc": None,
        "simulated": True,
    }
    flat = flat_metrics(metrics)
    assert flat == {
        "auroc": "0.9",
        "auroc_low": "0.8",
        "auroc_1*": "0.7",
        "auroc_kind_low": "0.6",
        "auroc_domain_source": "0.55",
        "auroc_group_screw": "0.5",
        "auroc_group_tile": "1.0",
        "auroc_mean_of_groups": "0.75",
        "pauc": "",
        "simulated": "True",
    }
    assert kinds_of([flat]) == {"1*": "auroc_1*", "low": "auroc_kind_low"}


def test_csv_comes_back_and_starts_with_the_varied_parameters(tmp_path: Path) -> None:
    file = tmp_path / "new" / "long.csv"
    write_csv(file, list(LONG.grid), [ROWS[4], ROWS[0]])  # the first row has no metrics
    assert file.read_text().splitlines()[0].startswith("detector,floor,fold,status,reason,auroc,control_auroc,auroc_1*")
    skipped, done = read_csv(file)
    assert skipped["reason"] == "No weights | none."
    assert skipped["auroc"] == ""
    assert {key: value for key, value in done.items() if value} == {k: v for k, v in ROWS[0].items() if v}
    assert read_csv(tmp_path / "absent.csv") == []


def test_a_write_that_breaks_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "long.csv"
    write_whole(file, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sweep_table.os, "replace", full)
    with pytest.raises(EndlineError, match=r"long.csv could not be written \(No space left on device\): free"):
        write_whole(file, "new")
    assert [path.name for path in tmp_path.iterdir()] == ["long.csv"]
    assert file.read_text() == "old"
