"""A project in a folder of its own, with the smoke configuration, run in this process."""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession
from kedro.io import DataCatalog
from mlflow.entities import Run

from endline.cli import cli
from endline.operations.inspection import Inspector
from endline.reporting.exhibit import Exhibit
from endline.simulation.sound.mirror_audio import MirrorSimulation, simulate

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Project:
    """A copy of the project's configuration; `recordings` is a simulated set of the main job."""

    folder: Path
    recordings: Path
    station: str = "mirror_audio"

    def run(self, exhibits: int = 0, **params: Any) -> str:
        """Run the station; returns the version of its outputs. Exhibits cost seconds."""
        params["exhibits"] = exhibits
        with (
            contextlib.chdir(self.folder),
            KedroSession.create(self.folder, env="smoke", runtime_params=params) as session,
        ):
            session.run(pipeline_names=[self.station])
            return str(session.session_id)

    def command(self, **params: Any) -> Result:
        """Run the station as `endline run --params=...` does, within this process."""
        options = ["--params=" + ",".join(f"{name}={value}" for name, value in params.items())] if params else []
        with contextlib.chdir(self.folder):
            return CliRunner().invoke(cli, ["run", "--env=smoke", f"--pipelines={self.station}", *options])

    def shown(self, path: Path) -> Exhibit:
        """The pictures of a file that the station's newest model judges."""
        exhibit = Inspector.load(self.station, project=self.folder, env="smoke").explain(path).exhibit()
        assert exhibit is not None
        return exhibit

    def load(self, name: str) -> Any:
        """Newest version of an output."""
        catalog, full = outputs(self.folder), f"{self.station}.{name}"
        with contextlib.chdir(self.folder):
            catalog.release(full)  # it forgets which version was the newest
            return catalog.load(full)

    def tracked(self) -> Run:
        """The newest MLflow run."""
        return self.runs()[0]

    def runs(self) -> list[Run]:
        """All MLflow runs, the newest first."""
        client = self.client()
        experiment = client.get_experiment_by_name("endline")
        if experiment is None:
            return []
        return list(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"]))

    def client(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(tracking_uri=f"sqlite:///{self.folder}/mlruns/mlflow.db")

    def raw(self, name: str, labels: dict[str, str] | None = None) -> Path:
        """A raw folder with links to some simulated recordings, `labels` = {file: fault}."""
        folder = self.folder / "raw" / name
        folder.mkdir(parents=True)
        for recording in labels or {}:
            (folder / recording).parent.mkdir(exist_ok=True, parents=True)
            os.link(self.recordings / "recordings" / Path(recording).name, folder / recording)
        return folder

    def faults(self) -> dict[str, str]:
        """Fault of each simulated recording."""
        table = pd.read_csv(self.recordings / "labels.csv", dtype=str)
        return dict(zip(table["recording"], table["fault"], strict=True))


@cache
def outputs(folder: Path) -> DataCatalog:
    """The catalog of a project: reading the configuration takes longer than an output."""
    with contextlib.chdir(folder), KedroSession.create(folder, env="smoke") as session:
        catalog: DataCatalog = session.load_context().catalog
        return catalog


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "conf", folder / "conf", ignore=shutil.ignore_patterns("local"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "src").mkdir()
    recordings = simulate(folder / "data/01_raw/mirror_audio_simulated", MirrorSimulation(normals=10, faulty=4))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("ENDLINE_DATA", raising=False)
        patch.setenv("DO_NOT_TRACK", "1")
        configure_project("endline")
        yield Project(folder, recordings)


@pytest.fixture(scope="session")
def surfaces(project: Project) -> Project:
    """The same project at the station of photographs."""
    return replace(project, station="surface_image")


@pytest.fixture(scope="session")
def cells(project: Project) -> Project:
    """The same project at the station of robot cycles."""
    return replace(project, station="robot_cycle")


@pytest.fixture
def sentence():
    """The one line that a failed command prints."""

    def read(result: Result) -> str:
        assert result.exit_code == 1, result.output
        assert "Traceback" not in result.output
        assert isinstance(result.exception, SystemExit)
        return re.sub(r"\s+", " ", result.output.split("Error: ", 1)[1]).strip()

    return read
