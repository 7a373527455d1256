"""The page of a sweep: Markdown figures recomputed by hand."""

from typing import Any

import pandas as pd

from endline.operations.sweep.grid import parse_sweep
from endline.operations.sweep.page import facts, render_page
from endline.operations.sweep.results import as_table
from endline.operations.sweep.table import render_tables

SWEEP: dict[str, Any] = {
    "station": "here",
    "description": "What it is.",
    "fixed": {"folds": 2},
    "grid": {"detector": ["plain", "flow"], "floor": ["level", "raw"], "fold": [0, 1, 2]},
    "published": {"source": "A paper.", "figures": [{"detector": "flow", "auroc": 0.958}]},
}
LONG = parse_sweep("long", {**SWEEP, "rows": ["floor", "detector"]}, "sweeps.yml")
WIDE = parse_sweep("wide", {**SWEEP, "rows": ["floor"], "columns": ["detector"]}, "sweeps.yml")


Row = dict[str, Any]


def row(detector: str, floor: str, fold: int, auroc: float, status: str = "done", reason: str | None = None) -> Row:
    shown = {"auroc": auroc, "control_auroc": 0.5, "auroc_1*": auroc, "simulated": False}
    known = {"detector": detector, "floor": floor, "fold": fold, "status": status, "reason": reason}
    about = {"seconds": 30.0, "machine": "a machine", "git_commit": "abc"}
    return {**known, **(shown if status == "done" else {}), **about}


def table(rows: list[Row]) -> pd.DataFrame:
    return as_table(rows, list(LONG.grid))


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
    lines = render_tables(LONG, table(ROWS)).splitlines()
    assert lines[0] == "| floor | detector | AUROC | published AUROC | control AUROC |"
    assert lines[2] == "| level | plain | 0.880 ± 0.072 (3) |  | 0.500 ± 0.000 (3) |"
    assert lines[3] == "| raw | plain | 0.700 (1) |  | 0.500 (1) |"
    assert lines[4] == "| level | flow | skipped | 0.958 | skipped |"
    assert lines[5] == "| raw | flow | failed | 0.958 | failed |"


def test_columns_stand_side_by_side_with_the_published_figures() -> None:
    lines = render_tables(WIDE, table(ROWS)).splitlines()
    assert lines[2] == "| floor | plain | plain, published | flow | flow, published |"
    assert lines[4] == "| level | 0.880 ± 0.072 (3) |  | skipped | 0.958 |"
    assert "| level | 0.500 ± 0.000 (3) | skipped |" in lines  # the control has a table of its own


def test_where_no_run_has_a_control_a_sentence_stands_for_its_table() -> None:
    bare = [{name: value for name, value in each.items() if name != "control_auroc"} for each in ROWS]
    page = render_tables(WIDE, table(bare))
    assert "No control AUROC: facts of the files alone" in page
    assert "Control AUROC:" not in page


def test_several_figures_stand_each_beside_the_published_one() -> None:
    entry = {"detector": "flow", "auc_source": [0.7, 0.05], "auc_target": 0.6}
    changes = {"figure": ["auc_source", "auc_target"], "published": {"source": "A paper.", "figures": [entry]}}
    sides = [{**row, "auc_source": 0.8, "auc_target": 0.5} for row in [*ROWS[:2], ROWS[4]]]
    long = parse_sweep("long", {**SWEEP, **changes, "rows": ["detector"]}, "sweeps.yml")
    lines = render_tables(long, table(sides)).splitlines()
    heads = "source AUC | published source AUC | target AUC | published target AUC | control AUROC"
    assert lines[0] == f"| detector | {heads} |"
    assert lines[2].startswith("| plain | 0.800 ± 0.000 (2) |  | 0.500 ± 0.000 (2) |  |")
    assert lines[3] == "| flow | skipped | 0.700 ± 0.050 | skipped | 0.600 | skipped |"
    wide = parse_sweep("wide", {**SWEEP, **changes, "rows": ["floor"], "columns": ["detector"]}, "sweeps.yml")
    page = render_tables(wide, table(sides))
    assert "target AUC:\n\n| floor | plain | plain, published | flow | flow, published |" in page
    assert "| level | 0.500 ± 0.000 (2) |  | skipped | 0.600 |" in page


def test_official_scores_of_machines_have_their_harmonic_mean_and_no_value_is_none() -> None:
    given = [{"group": "fan", "official_score": 0.6}, {"group": "valve", "official_score": 0.3}]
    description = {
        **SWEEP,
        "grid": {"outliers": ["", "fan"], "group": ["fan", "valve"]},
        "rows": ["outliers"],
        "columns": ["group"],
        "figure": "official_score",
        "published": {"source": "A paper.", "figures": given},
    }
    sweep = parse_sweep("machines", description, "sweeps.yml")
    cells = [("", "fan", 0.5), ("", "valve", 1.0), ("fan", "valve", 0.8)]
    rows = [{"outliers": a, "group": b, "official_score": c, "status": "done", "reason": None} for a, b, c in cells]
    lines = render_tables(sweep, as_table(rows, ["outliers", "group"])).splitlines()
    assert lines[2].endswith("| valve, published | harmonic mean | harmonic mean, published |")
    assert lines[4] == "| none | 0.500 (1) | 0.600 | 1.000 (1) | 0.300 | 0.667 | 0.400 |"
    assert lines[5] == "| fan | – | 0.600 | 0.800 (1) | 0.300 | – | 0.400 |"


def test_faults_have_their_table_and_runs_that_did_not_go_their_reasons() -> None:
    page = render_tables(LONG, table(ROWS))
    assert "| floor | detector | 1\\* |" in page
    assert page.count("| level | plain | 0.880 ± 0.072 (3) |") == 2
    assert "- 2 run(s) skipped: No weights | none." in page
    assert "- 1 run(s) failed: It broke." in page


def test_verdicts_stand_beside_their_interval_and_the_baseline() -> None:
    assert "How sure" not in render_tables(LONG, table(ROWS))
    shown = {"auroc_low": 0.75, "auroc_high": 0.95, "baseline_auroc": 0.7, "recall": 0.4, "false_alarm_rate": 0.1}
    page = render_tables(LONG, table([{**row, **shown, "promised_false_alarm_rate": 0.05} for row in ROWS[:2]]))
    heads = "95 % interval of the test: from | to | baseline AUROC | recall | false alarms | promised |"
    assert f"| floor | detector | {heads}" in page
    cells = ["0.750 ± 0.000 (2)", "0.950 ± 0.000 (2)", "0.700 ± 0.000 (2)", "0.400 ± 0.000 (2)", "0.100 ± 0.000 (2)"]
    assert f"| level | plain | {' | '.join(cells)} | 0.050 ± 0.000 (2) |" in page


def test_costs_have_their_table_where_they_are_known() -> None:
    assert "Costs" not in render_tables(LONG, table(ROWS))
    known = [{**row, "pixel_auroc": 0.7512, "fit_seconds": 12.34, "parameter_count": 4200} for row in ROWS[:3]]
    page = render_tables(LONG, table(known))
    assert "| floor | detector | of all pixels | s of training | fitted values |" in page
    assert "| level | plain | 0.751 ± 0.000 (3) | 12.3 ± 0.0 (3) | 4200 ± 0 (3) |" in page


def test_groups_have_their_table_beside_their_mean() -> None:
    grouped = [{**row, "auroc_group_screw": 0.5, "auroc_group_tile": 1.0, "auroc_mean_of_groups": 0.75} for row in ROWS]
    page = render_tables(LONG, table(grouped))
    assert "AUROC of each group, its own normals against its own faults:" in page
    assert "| mean | screw | tile |" in page
    assert "AUROC of each group" not in render_tables(LONG, table(ROWS))


def test_page_says_how_on_what_and_how_long() -> None:
    page = render_page(LONG, table(ROWS), facts(LONG, table(ROWS), " --env=smoke"))
    assert "- Command: `kedro sweep long --env=smoke`" in page
    assert f"- Runs: 4 of {len(LONG.points())} finished, 3.5 minutes in all" in page
    assert "- Machine: a machine" in page
    assert "- Git commit: abc" in page
    assert "over fold; in brackets the number of runs. Published: A paper." in page
    assert "- Data: real" in page


def test_simulated_data_are_named_in_capitals() -> None:
    simulated = [{**ROWS[0], "simulated": True}, *ROWS[1:]]
    assert facts(LONG, table(simulated), "")["Data"].startswith("**SIMULATED**")


def test_a_folder_of_the_users_is_not_called_real_only_because_it_bears_no_mark() -> None:
    assert facts(LONG, table(ROWS), " --raw=/here")["Data"] == "not marked as simulated; the folder given by --raw"


def test_domains_have_their_table_where_they_are_known() -> None:
    paucs = [{**row, "pauc": 0.6} for row in ROWS]
    assert "Domains" not in render_tables(LONG, table(paucs))
    known = {"official_score": 0.7, "auc_source": 0.9, "auc_target": 0.65, "false_alarm_rate_domain_target": 0.2}
    page = render_tables(LONG, table([{**row, **known} for row in paucs[:3]]))
    assert "| floor | detector | official score | source AUC | target AUC | pAUC | false alarms, target |" in page
    cells = ["0.700 ± 0.000 (3)", "0.900 ± 0.000 (3)", "0.650 ± 0.000 (3)", "0.600 ± 0.000 (3)", "0.200 ± 0.000 (3)"]
    assert f"| level | plain | {' | '.join(cells)} |" in page


def test_the_default_detector_is_named_where_others_stand_beside_it() -> None:
    marked = table([{**row, "default": row["detector"] == "plain"} for row in ROWS])
    assert "- Default detector: plain" in render_page(LONG, marked, facts(LONG, marked, ""))
    for alike in (True, False):
        assert "Default detector" not in facts(LONG, table([{**row, "default": alike} for row in ROWS]), "")
