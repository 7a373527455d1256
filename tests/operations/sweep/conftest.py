"""A copy of the project with one tiny sweep, and runs that happen in this process."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from kedro.framework.project import configure_project

from endline.operations.sweep import campaign
from endline.operations.sweep.job import Job, Outcome

ROOT = Path(__file__).parents[3]
TINY = {
    "station": "mirror_audio",
    "description": "Two folds.",
    "data": "motors",
    "fixed": {"detector": "gaussian"},
    "grid": {"noise_floor": ["level", "raw"], "fold": [0, 1]},
    "rows": ["noise_floor"],
}
Finish = Callable[[Mapping[str, Any]], str | None]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the project with the sweep `tiny`, beside a folder of data, its runs undisturbed by others."""
    folder = tmp_path / "project"
    shutil.copytree(ROOT / "conf", folder / "conf")
    shutil.copy(ROOT / "pyproject.toml", folder)
    (tmp_path / "shared/data/motors").mkdir(parents=True)
    (tmp_path / "shared/data/motors/a.wav").write_bytes(b"sound")
    monkeypatch.delenv("ENDLINE_DATA", raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "1")
    monkeypatch.chdir(folder)
    configure_project("endline")
    (folder / "conf/base/sweeps.yml").write_text(yaml.safe_dump({"tiny": TINY}, sort_keys=False))
    return folder


@pytest.fixture
def describe(project: Path) -> Callable[..., None]:
    """Changes the description of `tiny`."""

    def change(**changes: Any) -> None:
        (project / "conf/base/sweeps.yml").write_text(yaml.safe_dump({"tiny": {**TINY, **changes}}, sort_keys=False))

    return change


@pytest.fixture
def parents(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Ends of the MLflow parent runs, which are left out here: a database takes seconds."""
    ended: list[str] = []

    class Parent:
        id = "parent"

        def __init__(self, *_: object, fresh: bool) -> None:
            pass

        def end(self, status: str, counts: dict[str, int], files: list[Path]) -> None:
            ended.append(status)

    monkeypatch.setattr(campaign, "ParentRun", Parent)
    return ended


class Runs:
    """Stands for `run_in_processes`: remembers the jobs, and does to each what it is given.

    `then` gets a job's parameters and returns why the run fails, or None.
    """

    def __init__(self, then: Finish | None = None) -> None:
        self.jobs: list[Job] = []
        self.then = then

    def __call__(self, jobs: Iterator[tuple[int, Job]], workers: int) -> Iterator[tuple[int, Outcome]]:
        for number, job in jobs:
            self.jobs.append(job)
            reason = self.then(job.parameters) if self.then else None
            metrics = {} if reason else {"auroc": 0.9, "control_auroc": 0.5, "simulated": False}
            yield number, Outcome(metrics, reason or "", job.version)


@pytest.fixture
def runs() -> type[Runs]:
    """The class, for tests that need several."""
    return Runs
