"""Several processes give the verdicts of one, to the last digit; one that dies costs the file that it had."""

import multiprocessing
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from endline.detectors.cycles.nearest_cycle import NearestCycle, NearestCycleConfig
from endline.detectors.progress import Progress
from endline.detectors.scoring import score_rows, with_scores
from endline.errors import EndlineError
from endline.evaluation.calibration import calibrate
from endline.evidence.cycles.features import CyclePreparation
from endline.feature_set import FeatureSet
from endline.operations.batch import Judge, Target
from endline.operations.inspection import Inspector
from endline.published import PublishedModel
from endline.samples import sample_table

RATE, STEPS = 50.0, 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The published model of a nearest cycle."""
    rng = np.random.default_rng(0)
    cycles = np.sin(np.arange(STEPS) / 10) + 0.1 * rng.standard_normal((20, 1, STEPS))
    arrays = FeatureSet({"cycle": cycles.astype("f4"), "valid": np.ones((20, STEPS), "f4")})
    detector = NearestCycle(NearestCycleConfig())
    detector.fit(arrays.take(range(10)), seed=0, progress=Progress())
    rows = sample_table([{"sample_id": str(n), "path": str(n), "group": "", "label": 0} for n in range(10, 20)])
    scores = score_rows(rows, arrays.take(range(10, 20)), {"whole/0": detector})
    calibration = calibrate(with_scores(rows, scores), rate=0.1, join="mean")
    preparation = CyclePreparation(("force",), STEPS, RATE)
    folder = tmp_path_factory.mktemp("project") / "model"
    PublishedModel("robot_cycle", "1", {"whole/0": detector}, preparation, calibration).save(folder)
    return folder


@pytest.fixture
def targets(tmp_path) -> list[Target]:
    rng, made = np.random.default_rng(1), []
    for number in range(12):
        times = np.arange(STEPS) / RATE
        force = np.sin(np.arange(STEPS) / 10) + 0.1 * rng.standard_normal(STEPS)
        path = tmp_path / f"{number:02}.csv"
        pd.DataFrame({"time": times, "force": force}).to_csv(path, index=False)
        made.append(Target(path, path.name, path.name))
    return made


def test_two_processes_judge_as_one_does_and_a_death_costs_one_file(folder, targets):
    judge = Judge(Inspector(PublishedModel.load(folder)), folder)
    alone = {rows[0].path: rows for rows in judge.judge_all(targets)}
    assert {rows[0].verdict for rows in alone.values()} <= {"normal", "anomalous"}
    found, killed = {}, []
    for rows in judge.judge_all(targets, workers=2):
        found[rows[0].path] = rows
        if not killed:
            killed = [process.pid for process in multiprocessing.active_children()][:1]
            os.kill(killed[0], signal.SIGKILL)
    assert sorted(found) == sorted(alone)
    (lost,) = [path for path, rows in found.items() if rows[0].verdict == "none"]
    said = "could not be judged, its process ended by SIGKILL: free memory, or record it again."
    assert found[lost][0].reason == f"{targets[int(lost[:2])].path} {said}"
    assert all(rows == alone[path] for path, rows in found.items() if path != lost)
    assert not multiprocessing.active_children()


def test_a_process_that_cannot_begin_ends_the_batch_with_a_sentence(folder, targets, tmp_path):
    judge = Judge(Inspector(PublishedModel.load(folder)), tmp_path / "gone")
    with pytest.raises(EndlineError, match=r"The model in .*/gone cannot be read \(.*\): run the station again\."):
        list(judge.judge_all(targets, workers=2))
    assert not multiprocessing.active_children()
