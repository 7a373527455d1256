"""The choice among detectors by itself, on cycles of a few steps."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest
from torch import nn

from endline.detectors.base import Detector
from endline.detectors.candidates import auto_settings, possible_detectors
from endline.detectors.registry import build_detector
from endline.detectors.scored import Scored
from endline.errors import EndlineError
from endline.evidence.station import find_station
from endline.operations.sweep.resolved import settings_content
from endline.pipelines import choosing
from endline.pipelines.choosing import choose
from endline.pipelines.station_nodes import index

ROOT = Path(__file__).parents[2]
CYCLES = find_station("robot_cycle")
PREPARATION = {
    "labels": {}, "file": None, "format": "plain", "signals": "all", "rate": 10, "steps": None,
    "formats": {"plain": {"time": "time", "signals": None, "normal": []}},
}  # fmt: skip
SPLIT = {
    "train": 0.8, "folds": None, "fold": 0, "shuffle": 0, "unit": r"normal/(\d)", "train_fraction": 1.0
}  # fmt: skip
DETECTORS = {
    "nearest_cycle": {"type": "endline.detectors.cycles.nearest_cycle.NearestCycle"},
    "segment_gaussian": {"type": "endline.detectors.cycles.segment_gaussian.SegmentGaussian"},
    "blind": {"type": "blind"},
    "failing": {"type": "failing"},
}


@dataclass(frozen=True)
class NoConfig:
    """Nothing to set."""


class Blind(Detector[NoConfig]):
    """Sees nothing but the last digits of a cycle's mean."""

    Config = NoConfig
    required = ("cycle", "valid")
    learned: ClassVar[list[set[str]]] = []

    def _build(self, shapes, samples):
        return nn.Identity()

    def _learn(self, training):
        self.learned.append({name.split("/")[1][0] for name in training.rows["sample_id"]})
        return ()

    def _score(self, batch):
        return Scored((1e4 * batch["cycle"].mean((1, 2))) % 1.0, None)


class Failing(Blind):
    """Cannot learn."""

    def _learn(self, training):
        raise EndlineError("It has no memory: buy some.")


@pytest.fixture
def cycles(tmp_path, monkeypatch):
    """Chooses among candidates on 16 cycles of 8 parts; the options are parameters `auto`."""
    rng = np.random.default_rng(0)
    (tmp_path / "raw/normal").mkdir(parents=True)
    for number in range(16):
        times = np.arange(40) / 10
        values = np.sin(times) + 0.02 * rng.standard_normal((2, 40))
        table = pd.DataFrame({"time": times, "force": values[0], "way": values[1]})
        table.to_csv(tmp_path / f"raw/normal/{number // 2}_{number % 2}.csv", index=False)
    known = {"blind": Blind, "failing": Failing}
    monkeypatch.setattr(
        choosing,
        "build_detector",
        lambda name, *given: known[name](NoConfig()) if name in known else build_detector(name, *given),
    )
    run = {
        "station": "robot_cycle", "detector": "auto", "seed": 0, "group": None, "device": "cpu", "precision": "float32",
        "store": str(tmp_path / "store"),
    }  # fmt: skip
    source = {"folder": str(tmp_path / "raw"), "simulated": True}
    samples, _, inputs = index(CYCLES, source, run, SPLIT, PREPARATION)

    def chosen(*candidates: str, **options):
        auto = {"candidates": list(candidates), "minutes": 5, "folds": 3, "items": 4, **options}
        verdict = {"false_alarm_rate": 0.2, "join": "mean"}
        return choose(CYCLES, samples, source, inputs, run, auto, PREPARATION, {}, verdict, DETECTORS)

    Blind.learned.clear()
    yield chosen
    assert list((tmp_path / "store").glob(".*")) == []  # nothing stays of the copies


def test_the_better_candidate_is_chosen_wherever_it_stands_and_each_time(cycles):
    figures = []
    for order in (("blind", "nearest_cycle"), ("nearest_cycle", "blind")):
        choice = cycles(*order)
        assert choice["detector"] == choice["chosen"] == "nearest_cycle"
        criteria = {row["detector"]: row["criterion"] for row in choice["candidates"]}
        assert list(criteria) == list(order)
        assert criteria["nearest_cycle"] > 0.7 > criteria["blind"]
        assert choice["chosen_criterion"] == criteria["nearest_cycle"]
        assert "nearest_cycle tells synthetic faults of held-out good parts best" in choice["chosen_reason"]
        assert len(choice["candidates"][0]["by_kind"]) == 7
        figures.append({row["detector"]: row["by_kind"] for row in choice["candidates"]})
    assert figures[0] == figures[1]


def test_no_part_is_fitted_and_judged(cycles, monkeypatch):
    tables, real = [], choosing.judged
    monkeypatch.setattr(choosing, "judged", lambda divisions: tables.extend(divisions) or real(divisions))
    cycles("blind", "nearest_cycle")
    assert len(Blind.learned) == 2
    for learned, table in zip(Blind.learned, tables[:2], strict=True):
        assert not learned & set(table["unit"])
        assert len(learned | set(table["unit"])) >= 4
        assert table["kind"].value_counts()["normal"] >= 2


def test_a_default_that_is_no_candidate_is_told_and_the_best_is_taken(cycles, caplog):
    assert cycles("blind", "nearest_cycle", default="padim")["detector"] == "nearest_cycle"
    assert "auto.default=padim is none of the candidates, so that none of them goes first" in caplog.text


def test_a_candidate_that_fails_is_left_out_with_its_sentence(cycles, caplog):
    with caplog.at_level(logging.WARNING):
        choice = cycles("failing", "nearest_cycle")
    assert choice["detector"] == "nearest_cycle"
    assert choice["candidates"][0]["left_out"] == "It has no memory: buy some."
    assert "The candidate failing is left out: It has no memory: buy some." in caplog.text


def test_no_time_is_a_sentence(cycles):
    with pytest.raises(EndlineError, match=r"could judge no candidate \(blind: the 0 minutes for the choice are spent"):
        cycles("blind", "nearest_cycle", minutes=0)


def test_a_single_candidate_is_taken_without_a_look(cycles):
    choice = cycles("failing")
    assert choice["detector"] == choice["chosen"] == "failing"
    assert choice["chosen_reason"] == "failing is the only candidate: nothing was compared."


def test_a_named_detector_passes_through():
    nothing: dict[str, object] = {}
    given = (pd.DataFrame(), nothing, nothing, {"detector": "pca"}, nothing, nothing, nothing, nothing, nothing)
    assert choose(CYCLES, *given) == {
        "detector": "pca", "chosen": None, "chosen_criterion": None, "chosen_reason": None, "candidates": []
    }  # fmt: skip


def test_settings_that_cannot_be_are_sentences():
    for wrong, said in (
        ({"candidates": []}, "detector=auto has no candidates"),
        ({"candidates": ["pca"], "folds": 1}, "folds=1 and items=60 must be at least 2"),
        ({"candidates": ["pca"], "minutes": "ten"}, "The settings of detector=auto cannot be used"),
        ({"candidates": ["pca"], "margin": -1}, "margin=-1 at least 0: correct them"),
        ({"candidates": ["pca"], "hours": 1}, "The settings of detector=auto cannot be used"),
    ):
        with pytest.raises(EndlineError, match=said):
            auto_settings(wrong)
    with pytest.raises(EndlineError, match="The station s has no candidates for detector=auto: name a detector"):
        possible_detectors({"station": "s", "detector": "auto"}, None)


def test_the_settings_of_a_choice_are_those_of_its_candidates_and_count_for_no_other_run(project):
    auto = settings_content(project.folder, None, "robot_cycle", {"detector": "auto"})
    assert set(auto["detector"]) == set(auto["settings"]["auto"]["candidates"])
    assert "auto" not in settings_content(project.folder, None, "robot_cycle", {"detector": "pca"})["settings"]
