"""Several processes give the verdicts of one, to the last digit; one that dies costs the file that it had."""

import multiprocessing
import os
import signal
from pathlib import Path

import pytest
import torch

from endline.errors import EndlineError
from endline.operations import batch
from endline.operations.batch import Judge, Target
from endline.operations.inspection import Inspector
from endline.published import PublishedModel


@pytest.fixture(scope="module")
def folder(cycles, tmp_path_factory) -> Path:
    """The published model of a nearest cycle."""
    folder = tmp_path_factory.mktemp("project") / "model"
    cycles.save(folder)
    return folder


@pytest.fixture
def targets(write_cycle, tmp_path) -> list[Target]:
    files = [write_cycle(tmp_path / f"{number:02}.csv", number) for number in range(12)]
    return [Target(path, path.name, path.name) for path in files]


def test_two_processes_judge_as_one_does_and_a_death_costs_one_file(folder, targets, monkeypatch):
    start, pids = batch._start, []

    def ready(judge, workers):
        here, process = start(judge, workers)
        assert here.poll(300)
        pids.append(process.pid)
        return here, process

    monkeypatch.setattr(batch, "_start", ready)
    judge = Judge(Inspector(PublishedModel.load(folder)), folder)
    alone = {rows[0].path: rows for rows in judge.judge_all(targets)}
    assert {rows[0].verdict for rows in alone.values()} <= {"normal", "anomalous"}
    found = {}
    for rows in judge.judge_all(targets, workers=2):
        found[rows[0].path] = rows
        if len(found) == 1:
            os.kill(pids[0], signal.SIGKILL)
    assert sorted(found) == sorted(alone)
    (lost,) = [path for path, rows in found.items() if rows[0].verdict == "none"]
    said = "could not be judged, its process ended by SIGKILL: free memory, or record it again."
    assert found[lost][0].reason == f"{targets[int(lost[:2])].path} {said}"
    assert all(rows == alone[path] for path, rows in found.items() if path != lost)
    assert not multiprocessing.active_children()


class Dead:
    """A process that was killed at once."""

    exitcode = -signal.SIGKILL

    def join(self, timeout: float | None = None) -> None: ...

    def is_alive(self) -> bool:
        return False


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("gone", r"The model in .*/gone cannot be read \(.*\): run the station again\."),
        (
            None,
            r"A process ended by SIGKILL before it had loaded the model: free memory, or take fewer --workers, and run "
            r"the same command again\.",
        ),
    ],
)
def test_a_process_that_cannot_begin_ends_the_batch_with_a_sentence(
    folder, targets, tmp_path, monkeypatch, model, said
):
    def start(judge, workers):
        here, there = multiprocessing.Pipe()
        if model is not None:
            batch._serve(tmp_path / model, judge.inspector.compute, None, None, torch.get_num_threads(), there)
        there.close()
        return here, Dead()

    monkeypatch.setattr(batch, "_start", start)
    judge = Judge(Inspector(PublishedModel.load(folder)), folder)
    with pytest.raises(EndlineError, match=said):
        list(judge.judge_all(targets, workers=2))
