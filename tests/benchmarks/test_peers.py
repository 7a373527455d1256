"""The parts of the peers' comparison that need no other library."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest

PEERS = Path(__file__).parents[2] / "benchmarks/peers"
FORKED = "ignore:This process .* is multi-threaded:DeprecationWarning"  # Python 3.12 and later


@pytest.fixture(scope="module")
def measuring() -> Iterator[ModuleType]:
    yield from _imported("measuring")


@pytest.fixture(scope="module")
def table(measuring: ModuleType) -> Iterator[ModuleType]:
    yield from _imported("table")


def _imported(name: str) -> Iterator[ModuleType]:
    """A module of the scripts' folder, which each of them finds beside itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PEERS))
        for variable in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
            patch.setenv(variable, "1")  # the module sets them, and other tests are not to see that
        yield __import__(name)
        sys.modules.pop(name, None)


def test_a_trial_is_read_as_it_was_written(measuring: ModuleType, tmp_path: Path) -> None:
    trial = measuring.Trial("pyod", "3", "knn", 1.5, 2.5, 300.0, (0.25, 4.0), "a note")
    measuring.write_trial(trial, tmp_path)
    (tmp_path / "split.json").write_text("{}")  # which is none
    assert measuring.read_trials(tmp_path) == [trial]


@pytest.mark.filterwarnings(FORKED)
def test_a_trial_runs_apart_and_its_memory_is_measured(measuring: ModuleType, tmp_path: Path) -> None:
    blank = measuring.Trial("pyod", "3", "knn")
    said = measuring.run_apart(blank, lambda: measuring.Trial("pyod", "3", "knn", scores=(1.0,)), tmp_path)
    (trial,) = measuring.read_trials(tmp_path)
    assert trial.scores == (1.0,)
    assert trial.peak_mb > 1
    assert f"{tmp_path.name} knn" in said


@pytest.mark.filterwarnings(FORKED)
def test_a_trial_that_fails_leaves_its_reason(
    measuring: ModuleType, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def run() -> None:
        raise MemoryError("no room for 9.2 GB")

    measuring.run_apart(measuring.Trial("anomalib", "2.7", "patchcore"), run, tmp_path)
    (trial,) = measuring.read_trials(tmp_path)
    assert trial.note == "no result: MemoryError: no room for 9.2 GB"
    assert trial.scores == ()
    assert "Traceback" in capfd.readouterr().err


def test_trials_that_have_a_result_are_not_due_unless_asked_again(measuring: ModuleType, tmp_path: Path) -> None:
    knn, lof = (measuring.Trial("pyod", "3", name) for name in ("knn", "lof"))
    measuring.write_trial(knn, tmp_path)
    given = argparse.Namespace(detectors=None, again=False)
    assert measuring.are_due([knn, lof], tmp_path, given) == [lof]
    given = argparse.Namespace(detectors=["knn"], again=True)
    assert measuring.are_due([knn, lof], tmp_path, given) == [knn]


def test_area_is_that_of_endline_and_none_without_scores(measuring: ModuleType, table: ModuleType) -> None:
    tested = pd.DataFrame({"label": [0, 0, 1], "unit": ["a", "b", "c"], "kind": [None, None, "dent"]})
    tested = tested.assign(domain=None, group="cubes")
    trial = measuring.Trial("pyod", "3", "knn", scores=(0.0, 2.0, 1.0))
    assert table.area(trial, tested)["auroc"] == 0.5
    assert table.area(measuring.Trial("pyod", "3", "knn"), tested)["auroc"] is None


def test_cells_tell_mean_spread_and_number(table: ModuleType) -> None:
    assert table.cell(pd.Series([0.8, 0.9]), 2) == "0.85 ± 0.07 (2)"
    assert table.cell(pd.Series([0.8, np.nan]), 3) == "0.800"
    assert table.cell(pd.Series([np.nan]), 3) == "–"


def test_page_ranks_detectors_and_says_why_one_has_no_figure(table: ModuleType) -> None:
    shared = {
        "version": "1",
        "set": "dobot_cubes",
        "seed": 0,
        "n_train": 81,
        "n_tested": 107,
        "machine": "m",
        "commit": "c",
    }
    costs = {"auroc_low": 0.5, "auroc_high": 1.0, "fit_seconds": 1.0, "item_ms": 2.0, "peak_mb": 3.0}
    rows = [
        {"library": "anomalib", "detector": "efficient_ad", "auroc": None, "note": "no result: no network"},
        {"library": "anomalib", "detector": "padim", "auroc": 0.7, "note": "adapted"},
        {"library": "endline", "detector": "gaussian", "auroc": 0.9, "note": "from files"},
    ]
    page = table.page(pd.DataFrame([{**shared, **costs, **row} for row in rows]))
    order = [page.index(f"| {name} |") for name in ("gaussian", "padim", "efficient_ad")]
    assert order == sorted(order)
    assert "- anomalib efficient_ad: no result: no network" in page


def test_page_names_what_has_not_been_measured(table: ModuleType) -> None:
    rows = [{"set": name, "library": "pyod", "detector": "knn"} for name in ("dobot_cubes", "unscrewing")]
    said = table.unmeasured(pd.DataFrame(rows))
    assert said.startswith("Not measured yet: kolektor, mtd_tiles, force_torque_lp1, anomalib patchcore")
    assert "pyod knn" not in said


def test_rows_without_a_new_trial_stay(table: ModuleType) -> None:
    before = pd.DataFrame(
        {"set": ["a", "b", "c"], "seed": 0, "library": "x", "detector": "y", "auroc": [0.1, 0.2, 0.3]}
    )
    made = pd.DataFrame({"set": ["b", "b"], "seed": [0, 1], "library": "x", "detector": "y", "auroc": [0.8, 0.9]})
    assert table.renewed(before, made)["auroc"].tolist() == [0.1, 0.8, 0.9, 0.3]
