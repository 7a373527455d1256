"""The CSV files of sweeps: typed columns, and what is written comes back."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from endline.operations.sweep.results import as_table, flat_metrics, kinds_of, read_table, write_table

RESULTS = Path(__file__).parents[3] / "benchmarks/results"
VARIED = ["group", "weights"]
ROWS: list[dict[str, Any]] = [
    {"group": "NA", "weights": None, "status": "skipped", "reason": "No weights, none."},
    {
        "group": "007",
        "weights": 1.5,
        "status": "done",
        "auroc": 0.1 + 0.2,
        "n_train": 7,
        "pixel_auroc": None,
        "simulated": True,
        "default": True,
        "seconds": 30.0,
        "settings_digest": "0012345678901234",
    },
]


def test_metrics_become_flat_columns_without_intervals() -> None:
    metrics = {
        "auroc": 0.9,
        "auroc_low": 0.8,
        "auroc_by_kind": {"1*": {"auroc": 0.7, "low": 0.5, "high": 0.8, "n": 3}, "low": {"auroc": 0.6}},
        "auroc_by_domain": {"source": {"auroc": 0.55}},
        "auroc_by_group": {"screw": {"auroc": 0.5}, "tile": {"auroc": 1.0}},
        "false_alarms_by_domain": {"source": {"rate": 0.1, "alarms": 1}},
        "n_calibration_units_by_domain": {"target": 10},
        "by_section": {"00": {"auc_source": {"value": 0.8, "low": 0.7}}, "01": {"auc_source": None}},
        "pauc": None,
        "simulated": True,
    }
    flat = flat_metrics(metrics)
    assert flat == {
        "auroc": 0.9,
        "auroc_low": 0.8,
        "auroc_1*": 0.7,
        "auroc_kind_low": 0.6,
        "auroc_domain_source": 0.55,
        "auroc_group_screw": 0.5,
        "auroc_group_tile": 1.0,
        "auroc_mean_of_groups": 0.75,
        "false_alarm_rate_domain_source": 0.1,
        "n_calibration_units_domain_target": 10,
        "auc_source_section_00": 0.8,
        "auc_source_section_01": None,
        "pauc": None,
        "simulated": True,
    }
    assert "auc_source_section_00" not in flat_metrics({"by_section": {"00": {"auc_source": {"value": 0.8}}}})
    sections = {"00": {"auc_source": 0.8, "auc_target": 0.6, "pauc": 0.5}, "01": {"auc_source": 0.4, "auc_target": 0.2}}
    given = {
        section: {name: {"value": value} for name, value in of.items()}
        for section, of in {**sections, "01": {**sections["01"], "pauc": 0.7}}.items()
    }
    means = {"auc_section_00": 0.7, "auc_section_01": 0.3, "auc_mean": 0.5, "pauc_mean": 0.6}
    plain = flat_metrics({"by_section": given})
    assert {name: plain[name] for name in means} == pytest.approx(means)
    one = {"auc_mean": 0.7, "pauc_mean": 0.5}
    assert flat_metrics({"by_section": {"00": given["00"]}}) == pytest.approx(one)
    assert kinds_of(as_table([flat], [])) == {"1*": "auroc_1*", "low": "auroc_kind_low"}


def test_a_csv_comes_back_typed_and_starts_with_the_varied_parameters(tmp_path: Path) -> None:
    file = tmp_path / "new" / "long.csv"
    table = as_table(ROWS, VARIED)  # the first row has no metrics
    write_table(file, table)
    assert (
        file.read_text()
        .splitlines()[0]
        .startswith("group,weights,status,reason,default,auroc,n_train,pixel_auroc,simulated,seconds")
    )
    back = read_table(file, VARIED)
    assert back["group"].tolist() == ["NA", "007"]
    assert back["weights"].tolist() == ["", "1.5"]
    assert back["auroc"][1] == 0.1 + 0.2
    assert back["settings_digest"][1] == "0012345678901234"
    types = {name: str(back[name].dtype) for name in ("auroc", "n_train", "default", "simulated", "reason", "group")}
    assert types == {
        "auroc": "Float64", "n_train": "Int64", "default": "boolean", "simulated": "boolean",
        "reason": "string", "group": "string",
    }  # fmt: skip
    same = [name for name in table if name != "pixel_auroc"]  # nothing in it, so that no type can be seen
    pd.testing.assert_frame_equal(back[same], table[same], check_dtype=False)
    assert len(read_table(tmp_path / "absent.csv", VARIED)) == 0


@pytest.mark.parametrize("name", ["mirror42", "mirror42_variants", "mirror_table2", "mtd761", "robot_cell"])
def test_the_projects_files_are_written_as_they_were_read(tmp_path: Path, name: str) -> None:
    write_table(tmp_path / "again.csv", read_table(RESULTS / f"{name}.csv", ["detector", "fold", "seed"]))
    assert (tmp_path / "again.csv").read_text() == (RESULTS / f"{name}.csv").read_text()
