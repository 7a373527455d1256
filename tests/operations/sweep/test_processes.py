"""Processes of runs: several at once, one that is killed, and what ends them all."""

import logging
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from endline.operations.sweep import processes
from endline.operations.sweep.job import Job, Outcome
from endline.operations.sweep.processes import death, run_in_processes


@pytest.fixture
def act(monkeypatch: pytest.MonkeyPatch) -> Any:
    """What a process does; a spawned one imports it by its name, so its folder is on the path."""
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import process_stubs  # type: ignore[import-not-found]

    return process_stubs.act


def jobs(*parameters: dict[str, Any]) -> Iterator[tuple[int, Job]]:
    for number, each in enumerate(parameters):
        yield number, Job(Path(), "endline", None, "station", each, f"version {number}")


def test_a_killed_process_is_a_failed_run_and_the_rest_go_on(
    act: Any, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "17")
    given = [{"do": "log", "n": 0}, {"do": "killed"}, {"do": "exit"}, {"do": "log", "n": 3}]
    outcomes = dict(run_in_processes(jobs(*given), 2, act))
    assert sorted(outcomes) == [0, 1, 2, 3]
    assert [outcomes[number].status for number in range(4)] == ["done", "failed", "failed", "done"]
    assert "was ended by SIGKILL, as Linux does when memory runs out: free memory" in outcomes[1].reason
    assert outcomes[2].reason == "The process of this run ended with exit code 3 and without a result."
    assert [outcomes[0].version, outcomes[3].version] == ["version 0", "version 3"]
    assert all(outcome.seconds > 0 for outcome in outcomes.values())
    metrics = [outcomes[number].metrics for number in (0, 3)]
    assert len({os.getpid(), *(each["process"] for each in metrics)}) == 3
    assert {each["threads"] for each in metrics} == {str(max(1, len(os.sched_getaffinity(0)) // 2))}
    assert os.environ["OMP_NUM_THREADS"] == "17"
    logged = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert sorted(logged) == ["A word from run 0.", "A word from run 3."]
    assert "not for the terminal" not in "".join(capfd.readouterr())


def test_whatever_ends_the_sweep_ends_its_processes(act: Any, tmp_path: Path) -> None:
    file = tmp_path / "process"

    def interrupted() -> Iterator[tuple[int, Job]]:
        yield from jobs({"do": "wait", "file": str(file)})
        while not (file.exists() and file.read_text()):
            time.sleep(0.02)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(run_in_processes(interrupted(), 2, act))
    assert file.read_text() == "closed"  # it was asked to end, and could tidy up


def test_jobs_are_asked_for_when_a_process_may_start(monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []

    class Ended:
        exitcode = 0

        def is_alive(self) -> bool:
            return False

        def join(self, limit: float | None = None) -> None:
            pass

    def start(number: int, *_: object) -> Any:
        events.append(f"start {number}")
        there, here = processes.get_context("spawn").Pipe()
        here.send(Outcome({"n": number}))
        return there, processes._Running(number, Ended(), 0.0)  # type: ignore[arg-type]

    monkeypatch.setattr(processes, "_start", start)
    for number, _ in run_in_processes(jobs({}, {}, {}), 1):
        events.append(f"end {number}")
    assert events == ["start 0", "end 0", "start 1", "end 1", "start 2", "end 2"]


def test_how_a_process_ended_is_said_in_words() -> None:
    assert death(-11) == "The process of this run was ended by SIGSEGV."
    assert death(1) == "The process of this run ended with exit code 1 and without a result."
