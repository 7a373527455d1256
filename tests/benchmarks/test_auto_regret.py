from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from endline.operations.sweep.grid import Sweep

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SWEEP = Sweep("plates", "surface_image", "Plates.", {"detector": ["gaussian", "padim"], "seed": [0, 1]})


@pytest.fixture
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield import_module("auto_regret")


def test_a_point_is_chosen_for_once_whichever_detectors_the_sweep_has(script):
    assert script.points_of(SWEEP, []) == [{"seed": 0}, {"seed": 1}]
    assert script.points_of(SWEEP, ["seed=1"]) == [{"seed": 1}]


def test_labels_are_those_of_finished_rows_at_the_same_point(script, tmp_path, monkeypatch):
    rows = [("gaussian", 0, "done", 0.7), ("padim", 0, "failed", None), ("padim", 1, "done", 0.9)]
    table = pd.DataFrame(rows, columns=["detector", "seed", "status", "auroc"])
    table.assign(auroc_mean_of_kinds=table["auroc"], n_train_units=9).to_csv(tmp_path / "plates.csv", index=False)
    monkeypatch.setattr(script, "RESULTS", tmp_path)
    assert script.known_runs(SWEEP, {"seed": 0}) == {
        "gaussian": {"auroc": 0.7, "auroc_mean_of_kinds": 0.7, "n_train_units": 9.0}
    }


def test_a_regret_is_what_the_best_by_labels_is_ahead_and_unknown_where_the_chosen_has_none(script):
    rows = [("a", "gaussian", True, False, 0.04), ("a", "padim", False, True, 0.0)]
    rows += [("b", "gaussian", False, False, 0.0), ("b", "padim", True, True, None)]
    table = pd.DataFrame(rows, columns=["sweep", "detector", "chosen", "within_error", "behind_best"])
    table["without_default"] = table["chosen"]
    found = script.regrets(table.assign(point="seed=0")).set_index("sweep")
    assert found.loc["a", "regret"] == 0.04
    assert found.loc["a", "regret_within_error"] == 0
    assert found.loc["a", "best"] == "padim"
    assert pd.isna(found.loc["b", "regret"])
