"""The metrics file: exactly the keys of the contract, null where the data cannot give a figure."""

import json
import math
import re
from mmap import mmap
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from endline.evaluation.calibration import Calibration
from endline.evaluation.metrics import auroc, auroc_intervals
from endline.evaluation.summary import METRICS, peak_memory_mb, restart_peak_memory
from endline.evaluation.summary import summarise as summarise_all

CONTRACT = """station, group, detector, seed, n_train, n_test_normal, n_test_anomalous, auroc, auroc_low, auroc_high,
auroc_by_kind, auroc_by_domain, pauc, pixel_auroc, control_auroc, false_alarm_rate, recall, threshold,
feature_seconds, fit_seconds, score_ms_per_sample, peak_memory_mb, parameter_count"""
KNOWN = {
    "station": "mirror_audio", "group": "mirror", "detector": "gaussian", "seed": 0, "control_auroc": 0.51,
    "feature_seconds": 1.0, "fit_seconds": 2.0, "score_ms_per_sample": 3.0, "parameter_count": 4,
}  # fmt: skip


def scores(labels=(0, 0, 1, 1, 1, None), domains=None) -> pd.DataFrame:
    count = len(labels)
    table = pd.DataFrame(
        {
            "score": np.arange(count, dtype=float),
            "p_value": [1 / (number + 1) for number in range(count)],
            "flagged": [number >= 1 for number in range(count)],
            "label": labels,
            "kind": [None if label is None else "7" if label else "normal" for label in labels],
            "domain": domains or [None] * count,
            "group": "mirror",
            "unit": [f"part {number}" for number in range(count)],
        }
    )
    return table.astype({"label": "Int8", "kind": object, "domain": object})


SAMPLES = pd.DataFrame(
    {
        "sample_id": ["a#fold", "a#unfold", "b#fold", "b#unfold", "c#fold", "c#unfold"],
        "split": ["train"] * 4 + ["test"] * 2,
        "simulated": [False] * 6,
        "unit": ["a", "a", "b", "b", "c", "c"],
    }
)


def summarise(scores, samples, known, rate=0.25, **options):
    calibration = Calibration(("whole",), ((0.0,), (0.5,), (1.0,)), (0, 0, 0), (0, 1, 2), rate, "max")
    return summarise_all(scores, samples, calibration, auroc_intervals(scores), known, **options)


def test_the_keys_are_those_of_the_contract():
    assert set(METRICS) >= set(re.findall(r"\w+", CONTRACT)) | {"simulated"}
    assert tuple(summarise(scores(), SAMPLES, KNOWN)) == METRICS


def test_figures_by_hand():
    results = summarise(scores(), SAMPLES, KNOWN)
    area = auroc(np.array([0.0, 1.0]), np.array([2.0, 3.0, 4.0]))
    expected = {
        **KNOWN, "n_train": 2, "n_test_normal": 2, "n_test_anomalous": 3, "auroc": 1.0, "auroc_low": area.low,
        "auroc_high": area.high, "pauc": 1.0, "false_alarm_rate": 0.5, "recall": 1.0,
        "threshold": pytest.approx((1.0 - 0.5) / np.std([0, 0.5, 1])),
        "simulated": False, "pixel_auroc": None, "auroc_by_domain": None,
        "auroc_by_group": None, "n_calibration": 3, "n_tested": 6, "n_flagged": 5, "n_false_alarms": 1,
        "n_detected": 3, "target_false_alarm_rate": 0.25, "auroc_reason": None, "promised_false_alarm_rate": 0.25,
        "promised_false_alarm_rate_reason": None, "false_alarm_bound": 0.25, "n_calibration_units": 3,
        "n_train_units": 2, "n_test_normal_units": 2, "false_alarm_low": pytest.approx(0.0126, abs=1e-4),
        "false_alarm_high": pytest.approx(0.9874, abs=1e-4),
        "auroc_by_kind": {"7": {"auroc": 1.0, "low": 1.0, "high": 1.0, "n": 3}},
    }  # fmt: skip
    assert {key: results[key] for key in expected} == expected
    assert results["peak_memory_mb"] > 10


@pytest.mark.parametrize("labels", [(0, 0, 0), (None, None, None), (1, 1, 1)])
def test_what_the_data_cannot_give_is_none(labels):
    results = summarise(scores(labels), SAMPLES, {})
    absent = {"auroc", "auroc_low", "auroc_high", "auroc_by_kind", "auroc_by_domain", "pauc", "station"}
    assert {key for key in absent if results[key] is not None} == set()
    assert (results["false_alarm_rate"] is None) == (0 not in labels)
    assert (results["recall"] is None) == (1 not in labels)
    assert tuple(results) == METRICS
    assert (results["auroc_reason"] or "").count("no labelled") == (0 not in labels) + (1 not in labels)
    assert (results["recall_reason"] is None) == (1 in labels)
    assert (results["false_alarm_rate_reason"] is None) == (0 in labels)


def test_each_group_is_compared_with_its_own_normals():
    table = scores((0, 1, 0, 1, 0)).assign(group=["a", "a", "b", "b", "c"])
    results = summarise(table.assign(score=[0.0, 1.0, 3.0, 2.0, 9.0]), SAMPLES, KNOWN)["auroc_by_group"]
    assert {group: area["auroc"] for group, area in results.items()} == {"a": 1.0, "b": 0.0}  # c has no fault


def test_each_kind_and_each_domain_has_its_figure():
    table = scores((0, 0, 1, 1), ["source", "target", "source", None])
    table["score"] = [1.0, 3.0, 2.0, 4.0]
    table.loc[3, "kind"] = "2"
    results = summarise(table, SAMPLES, KNOWN)
    assert {kind: figure["auroc"] for kind, figure in results["auroc_by_kind"].items()} == {"7": 0.5, "2": 1.0}
    assert {domain: figure["auroc"] for domain, figure in results["auroc_by_domain"].items()} == {
        "source": 1.0,
        "target": 0.5,
    }
    assert results["auroc_by_domain"]["source"]["n"] == 2


def test_one_simulated_sample_marks_the_run():
    samples = SAMPLES.assign(simulated=[False] * 5 + [True])
    assert summarise(scores(), samples, KNOWN)["simulated"] is True


def test_it_is_plain_json():
    known = {**KNOWN, "control_auroc": math.nan, "fit_seconds": math.inf}
    text = json.dumps(summarise(scores(), SAMPLES, known), allow_nan=False)
    read = json.loads(text)
    assert (read["control_auroc"], read["fit_seconds"]) == (None, None)


def test_a_rate_that_cannot_be_promised_falls_back_and_says_so():
    results = summarise(scores(), SAMPLES, KNOWN, rate=0.05)
    assert (results["target_false_alarm_rate"], results["promised_false_alarm_rate"]) == (0.05, 0.25)
    assert results["promised_false_alarm_rate_reason"] == (
        "3 calibrating parts can promise no false-alarm rate below 25 %: at least 19 are needed for 5 %"
    )
    assert results["threshold"] is not None


def test_false_alarms_are_judged_by_part():
    """Six pictures of one part that are all flagged are one false alarm of two parts, not six of twelve."""
    table = scores((0,) * 12).assign(flagged=[True] * 6 + [False] * 6, unit=["a"] * 6 + ["b"] * 6)
    results = summarise(table, SAMPLES, KNOWN)
    assert results["false_alarm_rate"] == 0.5
    assert (results["n_test_normal"], results["n_test_normal_units"]) == (12, 2)
    assert results["false_alarm_p_value"] > 0.3
    assert results["false_alarm_low"] < 0.02


def test_peak_memory_is_none_where_the_system_gives_none(tmp_path: Path):
    assert peak_memory_mb(tmp_path / "absent") is None
    (tmp_path / "status").write_text("Name:\tpython\n")
    assert peak_memory_mb(tmp_path / "status") is None
    (tmp_path / "status").write_text("Name:\tpython\nVmHWM:\t    2048 kB\n")
    assert peak_memory_mb(tmp_path / "status") == 2.0


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux keeps and resets the peak")
def test_peak_memory_counts_from_its_restart():
    with mmap(-1, 240_000_000) as block:  # not from the C library, which may keep what is freed
        block.write(b"1" * 240_000_000)
        high = peak_memory_mb()
    restart_peak_memory()
    low = peak_memory_mb()
    assert high is not None
    assert low is not None
    assert low < high - 100


def test_restarting_the_peak_is_no_error_where_the_system_cannot(tmp_path: Path):
    restart_peak_memory(tmp_path / "absent" / "clear_refs")


def of_domains(**changes) -> pd.DataFrame:
    """Two normals and two anomalies of each domain; the anomalies are higher but for one."""
    table = scores((0, 0, 0, 0, 1, 1, 1, 1), ["source", "source", "target", "target"] * 2).assign(section="00")
    return table.assign(score=[0.0, 1.0, 2.0, 5.0, 4.0, 6.0, 7.0, 8.0], **changes)


def test_domains_have_their_figures_beside_the_official_score():
    results = summarise(of_domains(), SAMPLES, KNOWN)
    expected = {
        "auc_source": 1.0,
        "auc_target": 0.875,
        "pauc": pytest.approx(results["by_section"]["00"]["pauc"]["value"]),
    }
    assert {name: results[name] for name in expected} == expected
    assert results["official_score"] == pytest.approx(3 / (1 + 1 / 0.875 + 1 / results["pauc"]))
    assert results["official_score_low"] <= results["official_score"] <= results["official_score_high"]
    assert results["by_section"]["00"]["auc_target"]["value"] == results["auroc_by_domain"]["target"]["auroc"] == 0.875
    assert results["domain_reason"] is None
    assert tuple(results) == METRICS
    of_2021 = summarise(of_domains(), SAMPLES, KNOWN, year=2021)
    assert of_2021["auc_target"] == 1.0
    assert summarise(of_domains(label=0), SAMPLES, KNOWN)["domain_reason"] == "section 00: no labelled anomaly"


def test_stations_without_domains_have_none_of_their_figures():
    results = summarise(scores(), SAMPLES, KNOWN)
    names = ["auc_source", "auc_target_low", "pauc_high", "official_score", "by_section", "domain_reason"]
    assert [results[name] for name in [*names, "false_alarms_by_domain", "n_calibration_units_by_domain"]] == [None] * 8
    assert results["pauc"] == 1.0


def test_pauc_is_that_of_the_sections_where_there_are_several():
    table = of_domains(section=["00", "01"] * 4)
    results = summarise(table, SAMPLES, KNOWN)
    sections = [figures["pauc"]["value"] for figures in results["by_section"].values()]
    assert results["pauc"] == pytest.approx(2 / sum(1 / value for value in sections))


def test_false_alarms_are_counted_in_each_domain_too():
    table = of_domains(flagged=[False, True, True, True, *[True] * 4])
    results = summarise(table, SAMPLES, KNOWN)["false_alarms_by_domain"]
    assert {domain: own["rate"] for domain, own in results.items()} == {"source": 0.5, "target": 1.0}
    assert results["target"] == {
        "rate": 1.0, "low": pytest.approx(0.158, abs=1e-3), "high": 1.0, "alarms": 2, "normals": 2, "units": 2,
    }  # fmt: skip


def test_the_domain_that_limits_the_promise_is_what_false_alarms_are_judged_by():
    """Seven alarms of ten at a rate of 1/3: two parts leave it that uncertain, twenty do not."""
    table, rate = scores((0,) * 10).assign(flagged=[True] * 7 + [False] * 3), 1 / 3
    few = ("target",) * 2 + ("source",) * 18
    known = (tuple((float(n),) for n in range(20)), (0,) * 20, tuple(range(20)), rate)
    each, together = (Calibration(("whole",), *known, domains=names) for names in (few, ()))
    results = [summarise_all(table, SAMPLES, limits, auroc_intervals(table), KNOWN) for limits in (each, together)]
    assert results[0]["n_calibration_units_by_domain"] == {"source": 18, "target": 2}
    assert results[0]["n_calibration_units"] == results[1]["n_calibration_units"] == 20
    assert results[0]["false_alarm_p_value"] > 0.1 > results[1]["false_alarm_p_value"]


@pytest.mark.parametrize(
    ("labels", "flagged", "precision", "f1"),
    [
        ((0, 0, 1, 1, 1), (1, 0, 1, 1, 0), 2 / 3, 2 / 3),
        ((0, 0, 1, 1, 1), (0, 0, 0, 0, 0), None, 0.0),
        ((0, 0, 0), (1, 0, 0), None, None),
        ((1, 1, 1), (1, 0, 0), None, None),
    ],
)
def test_precision_and_f1_at_the_threshold(labels, flagged, precision, f1):
    results = summarise(scores(labels).assign(flagged=[bool(one) for one in flagged]), SAMPLES, KNOWN)
    assert (results["precision"], results["f1"]) == (pytest.approx(precision), pytest.approx(f1))
