"""The shared nodes by themselves."""

import logging
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from torch import nn

from endline.detectors.base import Detector
from endline.detectors.progress import Progress
from endline.detectors.scored import Scored
from endline.evidence.near_duplicates import look_hash
from endline.evidence.station import find_station
from endline.feature_set import FeatureSet
from endline.pipelines.detection.nodes import evaluate, judge, score, untrained
from endline.pipelines.station_nodes import look_alikes, remarks


@dataclass(frozen=True)
class DrawingConfig:
    side: int = 0
    height: float = 1.0


class Drawing(Detector[DrawingConfig]):
    """Scores by the value; its maps are squares of a side and a height, or none."""

    Config = DrawingConfig
    required = ("x",)

    def _build(self, shapes, samples):
        return nn.Identity()

    def _learn(self, training):
        return ()

    def _score(self, batch):
        side, count = self.config.side, len(batch["x"])
        maps = batch["x"].new_full((count, side, side), self.config.height) if side else None
        return Scored(batch["x"][:, 0], maps)


@pytest.mark.parametrize("first", [DrawingConfig(), DrawingConfig(2), DrawingConfig(4, 2.0)])
def test_other_maps_of_equal_scores_are_other_maps(first, tmp_path):
    """Settings may change the maps and not the scores: the store must not give back the earlier ones."""
    columns = {"split": "test", "part": None, "mask_path": ["m.png", None]}
    samples = pd.DataFrame({"sample_id": ["a", "b"], **columns})
    features = FeatureSet({"x": np.array([[1.0], [2.0]], "f4")}, key="two")
    kept = []
    for config in (first, DrawingConfig(4), DrawingConfig(4)):
        detector = Drawing(config)
        detector.fit(features, seed=0, progress=Progress())
        rows, maps, _ = score(samples, features, {"whole/0": detector}, {"store": str(tmp_path)}, exhibits=0)
        kept.append(maps)
    assert kept[1].shapes["map"] == (4, 4)
    assert (kept[1].read()["map"] == 1.0).all()
    assert rows["score"].tolist() == [1.0, 2.0]
    assert kept[1].stored == kept[2].stored
    assert kept[0].stored != kept[1].stored


def test_maps_of_parts_stand_beside_their_scores(tmp_path):
    """Parts with detectors of their own are scored one after the other: rows, scores and maps keep together."""
    columns = {"split": "test", "part": ["unfold", "fold", "unfold", "fold"], "mask_path": "m.png"}
    samples = pd.DataFrame({"sample_id": ["a#unfold", "a#fold", "b#unfold", "b#fold"], **columns})
    features = FeatureSet({"x": np.arange(4, dtype="f4")[:, None]}, key="parts")
    detectors = {f"{part}/0": Drawing(DrawingConfig(2, height)) for part, height in (("fold", 5.0), ("unfold", 7.0))}
    for detector in detectors.values():
        detector.fit(features, seed=0, progress=Progress())
    rows, maps, _ = score(samples, features, detectors, {"store": str(tmp_path)}, exhibits=0)
    for number, (name, value) in enumerate(zip(rows["sample_id"], rows["score"], strict=True)):
        assert value == samples.index[samples["sample_id"] == name].item()
        assert maps.read([number])["map"].unique().tolist() == [5.0 if name.endswith("#fold") else 7.0]


@pytest.mark.parametrize("name", ["cs_flow", "gaussian"])
def test_a_flow_without_training_says_what_its_training_adds(name, tmp_path):
    """A flow starts as a distance in whitened features, which tells these faults; a closed form has no start."""
    rng = np.random.default_rng(0)
    maps = rng.standard_normal((60, 4, 4, 4)).astype("f4")
    maps[50:, :, 1:3, 1:3] += 4.0
    samples = pd.DataFrame({"sample_id": [f"{number}.png" for number in range(60)], "part": None})
    samples["split"], samples["label"] = ["train"] * 40 + ["test"] * 20, pd.array([0] * 50 + [1] * 10, "Int8")
    settings = {
        "cs_flow": {
            "type": "endline.detectors.maps.cs_flow.CSFlow",
            "components": 3,
            "hidden": 4,
            "blocks": 1,
            "epochs": 1,
        },
        "gaussian": {"type": "endline.detectors.pooled.gaussian.Gaussian"},
    }

    class Prepared:
        pyramid = None

    run, choice = {"seed": 0, "device": "cpu", "precision": "float32"}, {"detector": name}
    plan, verdict = {"calibration": "hold_out"}, {"false_alarm_rate": 0.1, "join": "mean"}
    features = FeatureSet({"scale_0": maps}, key="maps")
    found = untrained(samples, features, Prepared(), choice, run, plan, verdict, settings)
    if name == "gaussian":
        assert found == {}
    else:
        assert found["auroc"] > 0.95
        assert found["low"] <= found["auroc"] <= found["high"]


def test_look_alikes_are_named_by_item_and_warned_of(caplog):
    look = look_hash(np.array([0.0, 1.0, 2.0, 9.0]))
    rows = [
        {"sample_id": f"{name}#{part}", "path": name, "group": "g", "part": part, "split": split, "look_hash": shown}
        for name, split, seen in (("a.wav", "train", look), ("b.wav", "test", look))
        for part, shown in (("fold", seen), ("unfold", None))
    ]
    with caplog.at_level(logging.WARNING):
        pairs = look_alikes(pd.DataFrame(rows))
    assert pairs[["training", "tested"]].to_numpy().tolist() == [["a.wav", "b.wav"]]
    assert "1 tested sample(s) look like one that trained (b.wav and a.wav first)" in caplog.text
    assert look_alikes(pd.DataFrame(rows).drop(columns="look_hash")).empty


@dataclass(frozen=True)
class Limited:
    """A preparation that has something to say of parts above 30 mm."""

    def remarks(self, row):
        return ["is high."] if row["before"] > 30 else []


def test_what_is_to_be_said_of_tested_items_is_said_of_each_once(caplog):
    names = ("a#left", "a#right", "b#left", "b#right", "c#left", "c#right")
    samples = pd.DataFrame({"sample_id": names, "part": ["left", "right"] * 3, "before": [31.0, 32, 30, 30, 40, 40]})
    scores = pd.DataFrame({"sample_id": ["a", "b"]})  # c was not tested
    with caplog.at_level(logging.WARNING):
        assert remarks(find_station("surface_scan"), samples, scores, Limited()) == {"a": "It is high. It is high."}
    assert "The report remarks on 1 of the 2 tested parts, such as a: It is high. It is high." in caplog.text
    caplog.clear()
    assert remarks(find_station("surface_scan"), samples, scores[1:], Limited()) == {}
    assert not caplog.text


def clips(**columns) -> pd.DataFrame:
    """Scored clips of both domains: normals of target are above those of source, and above an anomaly of source."""
    names = [f"{number}.wav" for number in range(8)]
    table = pd.DataFrame({"sample_id": names, "part": None, "path": names, "unit": names, "group": "valve"})
    table["section"], table["kind"], table["split"], table["simulated"] = "00", "x", "test", False
    table["domain"], table["mask_path"] = ["source", "source", "target", "target"] * 2, None
    table["label"], table["score"] = pd.array([0] * 4 + [1] * 4, "Int8"), [0.0, 1.0, 4.0, 5.0, 2.0, 6.0, 7.0, 8.0]
    return table.assign(**columns)


def test_the_domains_of_the_verdict_reach_the_threshold_and_the_year_its_metrics():
    verdict = {"false_alarm_rate": 0.4, "join": "mean", "rule": "conformal"}
    held_out = clips(label=0, score=range(8))
    results = {}
    for domains, year in (("together", 2023), ("each", 2021)):
        features = FeatureSet({"x": np.zeros((8, 1), "f4")}, key="x")
        calibration, scores = judge(clips(), features, held_out, clips(), {**verdict, "domains": domains})
        run = {"station": "s", "seed": 0, "group": None, "year": year}
        choice = {"detector": "d", "chosen": None, "chosen_criterion": None, "chosen_reason": None}
        maps = FeatureSet({"map": np.zeros((8, 0, 0), "f4")}, key="none")
        given = (clips(), features, clips(), maps, scores, calibration)
        results[domains] = evaluate(*given, {}, {}, {}, choice, run)[0]
    assert results["together"]["n_calibration_units_by_domain"] is None
    assert results["each"]["n_calibration_units_by_domain"] == {"source": 4, "target": 4}
    assert results["together"]["auc_target"] == 0.75  # of both domains' anomalies one is below both its normals
    assert results["each"]["auc_target"] == 1.0
    together = {**verdict, "domains": "together"}
    given = (clips(), features, held_out, clips())
    assert judge(*given, verdict)[0] == judge(*given, together)[0]
