"""`kedro sweep`: what runs, what is kept, what is said of runs that do not go."""

import fcntl
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from endline.errors import EndlineError
from endline.operations.sweep.command import run_sweep
from endline.operations.sweep.job import Job, Outcome
from endline.operations.sweep.results import read_table


def rows(project: Path) -> pd.DataFrame:
    return read_table(project / "benchmarks/results/tiny.csv", ["noise_floor", "fold"])


def test_every_point_runs_with_its_parameters_and_is_written_at_once(
    project: Path, parents: list[str], runs: Any
) -> None:
    written: list[int] = []
    run = runs(lambda _: written.append(len(rows(project))))
    run_sweep("tiny", project, run=run)
    raw = str((project / "../shared/data/motors").resolve())
    shared = {"detector": "gaussian", "raw": raw, "sweep": "tiny", "mlflow_parent_run_id": "parent"}
    points = [("level", 0), ("level", 1), ("raw", 0), ("raw", 1)]
    given = [dict(job.parameters) for job in run.jobs]
    folders = [parameters.pop("mirror_audio")["run"]["checkpoints"] for parameters in given]
    assert given == [{"noise_floor": floor, "fold": fold, **shared} for floor, fold in points]
    assert written == [0, 1, 2, 3]
    assert list(zip(rows(project)["noise_floor"], rows(project)["fold"], strict=True)) == [
        (floor, str(fold)) for floor, fold in points
    ]
    assert set(rows(project)["status"]) == {"done"}
    assert parents == ["FINISHED"]
    assert "| level | 0.900 ± 0.000 (2) |" in (project / "benchmarks/results/tiny.md").read_text()
    assert len({job.version for job in run.jobs}) == 4  # even two runs of one millisecond share none
    assert len(set(folders)) == 4
    run_sweep("tiny", project, fresh=True, run=(again := runs()))
    assert [job.parameters["mirror_audio"]["run"]["checkpoints"] for job in again.jobs] == folders


def test_what_is_finished_does_not_run_again_until_something_changes(
    project: Path, parents: list[str], runs: Any, describe: Callable[..., None]
) -> None:
    def again(**options: Any) -> int:
        run = runs()
        run_sweep("tiny", project, run=run, **options)
        return len(run.jobs)

    assert again() == 4
    assert again() == 0
    assert parents == ["FINISHED"]  # nothing to do: no second parent run
    describe(grid={"noise_floor": ["level", "raw"], "fold": [0, 1, 2]})
    assert again() == 2
    (project / "../shared/data/motors/b.wav").write_bytes(b"more")
    assert again() == 6
    describe(grid={"noise_floor": ["raw"], "fold": [0]}, fixed={"detector": "gaussian", "exhibits": 0})
    assert again() == 0  # exhibits change no figure
    station = project / "conf/base/parameters/mirror_audio.yml"
    station.write_text(station.read_text().replace("views,4", "views,2"))
    assert again() == 0  # nor does what only other detectors read
    assert len(rows(project)) == 1  # rows that the grid no longer has are gone
    settings = project / "conf/base/parameters/detectors.yml"
    settings.write_text(settings.read_text().replace("shrinkage: 0.05", "shrinkage: 0.1"))
    assert again() == 1


def test_only_the_points_that_are_asked_for_run_and_finished_rows_of_others_stay(
    project: Path, parents: list[str], runs: Any
) -> None:
    run_sweep("tiny", project, only=["fold=1", "noise_floor=raw"], run=(run := runs()))
    assert [(job.parameters["noise_floor"], job.parameters["fold"]) for job in run.jobs] == [("raw", 1)]
    run_sweep("tiny", project, only=["fold=0"], run=runs())
    assert list(rows(project)["fold"]) == ["0", "0", "1"]
    assert "3 of 4 finished" in (project / "benchmarks/results/tiny.md").read_text()


def test_what_is_run_anew_costs_no_row_of_the_others(project: Path, parents: list[str], runs: Any) -> None:
    run_sweep("tiny", project, run=runs())
    run_sweep("tiny", project, fresh=True, only=["fold=1"], run=(run := runs()))
    assert [job.parameters["fold"] for job in run.jobs] == [1, 1]
    assert list(rows(project)["fold"]) == ["0", "1", "0", "1"]


@pytest.mark.parametrize("only", ["noise_flor=raw", "fold=7", "fold"])
def test_a_point_that_the_grid_does_not_have_is_refused(project: Path, runs: Any, only: str) -> None:
    with pytest.raises(EndlineError, match="--only"):
        run_sweep("tiny", project, only=[only], run=runs())


def test_a_stopped_sweep_loses_the_running_rows_alone(project: Path, parents: list[str], runs: Any) -> None:
    def interrupt(parameters: Mapping[str, Any]) -> None:
        if parameters["noise_floor"] == "raw":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_sweep("tiny", project, run=runs(interrupt))
    assert len(rows(project)) == 2
    run_sweep("tiny", project, run=(rest := runs()))
    assert len(rest.jobs) == 2
    assert parents == ["KILLED", "FINISHED"]


def test_a_failed_run_becomes_a_row_and_the_others_go_on(project: Path, parents: list[str], runs: Any) -> None:
    def fail(parameters: Mapping[str, Any]) -> str | None:
        return "The folder is empty: fill it." if parameters["noise_floor"] == "raw" else None

    with pytest.raises(EndlineError, match=r"2 of 4 runs failed: .*tiny\.csv says why"):
        run_sweep("tiny", project, run=runs(fail))
    assert rows(project)[["status", "reason"]].fillna("").to_numpy().tolist() == [
        *[["done", ""]] * 2,
        *[["failed", "The folder is empty: fill it."]] * 2,
    ]
    assert parents == ["FAILED"]
    page = (project / "benchmarks/results/tiny.md").read_text()
    assert "- 2 run(s) failed: The folder is empty: fill it." in page
    run_sweep("tiny", project, run=(rest := runs()))
    assert len(rest.jobs) == 2  # what failed is tried again


def test_what_every_run_says_is_shown_once(
    project: Path, parents: list[str], runs: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def say(parameters: Mapping[str, Any]) -> None:
        logging.getLogger("endline").warning("One recording has no label.")
        logging.getLogger("endline").warning("Fold %d.", parameters["fold"])

    run_sweep("tiny", project, run=runs(say))
    shown = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert shown == ["One recording has no label.", "Fold 0.", "Fold 1."]


def test_a_backbone_without_weights_is_skipped_with_its_sentence(
    project: Path, parents: list[str], runs: Any, describe: Callable[..., None]
) -> None:
    describe(grid={"backbone": ["resnet18", "efficientnet_lite0"]}, rows=["backbone"])
    run = runs()
    run_sweep("tiny", project, run=run)
    assert [job.parameters["backbone"] for job in run.jobs] == ["efficientnet_lite0"]
    table = rows(project)
    assert table["status"].tolist() == ["skipped", "done"]
    assert table["reason"][0].startswith("The backbone resnet18 comes without weights: give `weights` the path")
    page = (project / "benchmarks/results/tiny.md").read_text()
    assert "| resnet18 | skipped | skipped |" in page
    assert "- 1 run(s) skipped: The backbone resnet18 comes without weights" in page
    assert parents == ["FINISHED"]


def test_two_sweeps_of_one_name_do_not_run_at_once(project: Path, runs: Any) -> None:
    (project / "mlruns").mkdir()
    with (project / "mlruns/sweep_tiny.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(EndlineError, match=re.escape("The sweep 'tiny' is already running in another process")):
            run_sweep("tiny", project, run=runs())


def test_a_misspelt_parameter_ends_the_sweep_before_its_first_run(
    project: Path, runs: Any, describe: Callable[..., None]
) -> None:
    describe(grid={"noise_flor": ["level"]}, rows=["noise_flor"])
    run = runs()
    with pytest.raises(EndlineError, match=r"Nothing reads the option 'noise_flor' .* did you mean 'noise_floor'"):
        run_sweep("tiny", project, run=run)
    assert not run.jobs


def test_a_sweep_that_goes_on_writes_the_table_of_one_that_never_stopped(project: Path, parents: list[str]) -> None:
    def run(jobs: Iterator[tuple[int, Job]], workers: int) -> Iterator[tuple[int, Outcome]]:
        for number, job in jobs:
            yield number, Outcome({"auroc": 0.9, "pixel_auroc": None, "simulated": False}, version=job.version)

    run_sweep("tiny", project, run=run)
    csv = project / "benchmarks/results/tiny.csv"
    before = csv.read_text()
    assert ",pixel_auroc," in before
    run_sweep("tiny", project, run=run)
    assert csv.read_text() == before


def test_checkpoints_of_points_that_the_sweep_no_longer_has_go(project: Path, parents: list[str], runs: Any) -> None:
    run_sweep("tiny", project, run=(first := runs()))
    own = project / first.jobs[0].parameters["mirror_audio"]["run"]["checkpoints"]
    gone = own.with_name("tiny_9_0123456789abcdef")
    others = own.with_name("tiny_2_0_0123456789abcdef")  # of the sweep tiny_2
    for folder in (own, gone, others):
        folder.mkdir(parents=True)
    run_sweep("tiny", project, fresh=True, run=runs())
    assert (own.exists(), gone.exists(), others.exists()) == (True, False, True)


def test_rows_of_the_stations_default_detector_are_marked_whatever_the_overlay(
    project: Path, parents: list[str], runs: Any, describe: Callable[..., None]
) -> None:
    """`conf/base` says hybrid_flow, `conf/paper` another: a run that says nothing takes that one, and is no default."""
    says_nothing = {"grid": {"fold": [0]}, "fixed": {}, "rows": ["fold"]}
    says_both = {"grid": {"detector": ["hybrid_flow", "gaussian"]}, "fixed": {}, "rows": ["detector"]}
    for env, description, default in ((None, says_both, [True, False]), ("paper", says_nothing, [False])):
        describe(**description)
        run_sweep("tiny", project, env=env, run=runs())
        assert read_table(project / "benchmarks/results/tiny.csv", ["fold"])["default"].tolist() == default


def test_a_table_from_before_the_column_default_is_gone_on_with(project: Path, parents: list[str], runs: Any) -> None:
    run_sweep("tiny", project, run=runs())
    csv = project / "benchmarks/results/tiny.csv"
    new = csv.read_text()
    old = pd.read_csv(csv, dtype=str, keep_default_na=False).drop(columns="default")
    old.to_csv(csv, index=False, lineterminator="\n")
    run_sweep("tiny", project, run=(again := runs()))
    assert not again.jobs
    assert csv.read_text() == new
    assert rows(project)["default"].tolist() == [False] * 4
