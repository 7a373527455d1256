"""A tiny station, whose files are lists of numbers, and a published model of it, in a project of its own."""

import contextlib
import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result

from endline.compute import CPU
from endline.detectors.cycles.nearest_cycle import NearestCycle, NearestCycleConfig
from endline.detectors.maps.padim import Padim, PadimConfig
from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
from endline.detectors.pooled.nearest_neighbour import NearestNeighbour, NearestNeighbourConfig
from endline.detectors.progress import Progress
from endline.detectors.scoring import score_rows, with_scores
from endline.errors import EndlineError
from endline.evaluation.calibration import calibrate
from endline.evidence import station as stations
from endline.evidence.cycles.features import CyclePreparation
from endline.evidence.station import Preparation, Station, hottest_points, register
from endline.feature_set import FeatureSet
from endline.files import write_whole
from endline.operations.registration import Publication
from endline.operations.registration import register as register_model
from endline.operations.registry import Registered, Registry
from endline.published import PublishedModel
from endline.samples import sample_table
from endline.tracking import make_database

SIDE, COUNT = 4, 60
log = logging.getLogger("endline.evidence.scales")
FAULT = np.array([0.8] * 2 + [0.0] * (SIDE**2 - 2))  # what a faulty part has more


@dataclass(frozen=True)
class Scales(Preparation):
    """Weights of a part: a file is a list of 16 numbers, or a table of such lists by name."""

    station: ClassVar[str] = "scales"
    usual: float = 1.0

    def recipe(self, samples, folder, store, compute=CPU):
        raise AssertionError("nothing is trained here")

    def inspect(self, path, compute=CPU):
        ((_, found),) = self.inspect_each(path)
        if isinstance(found, EndlineError):
            raise found
        return found

    def inspect_each(self, path, compute=CPU):
        try:
            content = json.loads(path.read_text())
        except FileNotFoundError as error:
            raise EndlineError(f"{path}: the file does not exist: restore it.") from error
        except ValueError as error:
            raise EndlineError(f"{path}: it is no JSON: weigh it again.") from error
        items = content if isinstance(content, dict) else {"": content}
        for name, weights in items.items():
            end = f"/{name}" if name else ""
            if len(weights) != SIDE**2:
                yield f"{path}{end}", EndlineError(f"{path}{end} has {len(weights)} weights: weigh it again.")
            else:
                if any(isinstance(weight, float) and weight < 0 for weight in weights):
                    log.warning("%s%s has weights below zero: set the scales to zero.", path.name, end)
                rows = sample_table([{"sample_id": path.name + end, "path": path.name, "group": ""}])
                yield f"{path}{end}", (rows, FeatureSet({"scale_0": self.map([weights])}))

    def map(self, weights: Any) -> np.ndarray:
        return (np.asarray(weights, "f4") / self.usual).reshape(-1, 1, SIDE, SIDE)

    @classmethod
    def from_plain(cls, plain):
        return cls(plain["usual"])


def published(detector: Any, run: str, seed: int = 0, poisoned: int = 0) -> PublishedModel:
    """A model that has learned from thirty parts and holds thirty out; of both `poisoned` ones are faulty."""
    weights = 1 + 0.1 * np.random.default_rng(seed).standard_normal((COUNT, SIDE**2))
    for faulty in (*range(poisoned), *range(30, 30 + poisoned)):
        weights[faulty] += FAULT
    maps = Scales().map(weights)
    rows = sample_table([{"sample_id": str(n), "path": str(n), "group": "", "label": 0} for n in range(COUNT)])
    detector.fit(FeatureSet({"scale_0": maps[:30]}), seed=0, progress=Progress())
    detectors = {"whole/0": detector}
    held_out = with_scores(rows[30:], score_rows(rows[30:], FeatureSet({"scale_0": maps[30:]}), detectors))
    return PublishedModel("scales", run, detectors, Scales(), calibrate(held_out, rate=0.05, join="mean"))


@pytest.fixture(scope="session")
def models() -> tuple[PublishedModel, PublishedModel]:
    """One whose detector has no maps, and one whose detector has."""
    return published(Gaussian(GaussianConfig()), "1"), published(Padim(PadimConfig()), "2")


@dataclass(frozen=True)
class Project:
    """A project with the two models as the runs 1 and 2 of `scales`; `parts` is a folder of parts."""

    folder: Path
    parts: Path

    def model(self, run: str) -> Path:
        return self.folder / f"data/06_models/scales/model/{run}/model"

    def part(self, name: str, weight: float = 1.0, seed: int = 0) -> Path:
        weights = weight + 0.05 * np.random.default_rng(seed).standard_normal(SIDE**2)
        write_whole(self.parts / name, json.dumps(weights.tolist()))
        return self.parts / name

    def command(self, *arguments: object) -> Result:
        with contextlib.chdir(self.folder):
            from endline.commands import cli

            return CliRunner().invoke(cli, [str(each) for each in arguments])


@pytest.fixture
def scales(models, tmp_path, monkeypatch) -> Project:
    monkeypatch.setattr(stations, "_REGISTERED", {})
    unused: Callable[..., Any] = lambda *_: pytest.fail("nobody asks for this")  # noqa: E731
    register(
        Station(
            "scales", "Scales", "weighings", unused, unused, Scales, hottest_points, lambda *_: [], unused, (".json",)
        )
    )
    monkeypatch.setattr("endline.operations.model_folders.station_names", lambda: ["mirror_audio", "scales"])
    write_whole(tmp_path / "conf/base/catalog.yml", "'{station}.model': {filepath: 'data/06_models/{station}/model'}")
    project = Project(tmp_path, tmp_path / "parts")
    project.parts.mkdir()
    for model in models:
        model.save(project.model(model.run))
    return project


@pytest.fixture
def gauss(scales, models) -> PublishedModel:
    return models[0]


@pytest.fixture
def padim(scales, models) -> PublishedModel:
    return replace(models[1])


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory) -> Path:
    """MLflow's database without any run: making one takes seconds, a copy does not."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    make_database(f"sqlite:///{path}")
    return path


@pytest.fixture
def trained() -> Callable[..., PublishedModel]:
    """Makes a model of scales: its run, a seed, and how many faulty parts were taken for good ones."""
    return lambda run, **how: published(NearestNeighbour(NearestNeighbourConfig()), run, **how)


@pytest.fixture
def fault() -> np.ndarray:
    """What a faulty part weighs more."""
    return FAULT


@dataclass(frozen=True)
class Shelf:
    """The registry of the project of `scales`."""

    project: Project
    registry: Registry
    experiment: str

    def add(self, model: PublishedModel, **changes: Any) -> Registered:
        """Register a published model as the newest version and the challenger."""
        if not self.project.model(model.run).exists():
            model.save(self.project.model(model.run))
        run_id = self.registry.client.create_run(self.experiment).info.run_id
        known = {"endline.version": model.run, "simulated": "False", "git_commit": "abc"} | changes.pop("tags", {})
        facts = {"station": "scales", "group": "", "tags": known, "figures": {"auroc": 0.9}, "training": {}} | changes
        return register_model(self.registry, Publication(self.project.model(model.run), run_id=run_id, **facts))


@pytest.fixture
def shelf(scales, empty_database) -> Shelf:
    (scales.folder / "mlruns").mkdir(exist_ok=True)
    shutil.copy(empty_database, scales.folder / "mlruns/mlflow.db")
    registry = Registry.of(scales.folder)
    location = (scales.folder / "mlruns/artifacts").as_uri()
    return Shelf(scales, registry, registry.client.create_experiment("endline", artifact_location=location))


RATE, STEPS = 50.0, 100


@pytest.fixture(scope="session")
def cycles() -> PublishedModel:
    """The model of a nearest cycle, which has kept ten normal cycles; a real station, which other processes know."""
    rng = np.random.default_rng(0)
    values = np.sin(np.arange(STEPS) / 10) + 0.1 * rng.standard_normal((20, 1, STEPS))
    arrays = FeatureSet({"cycle": values.astype("f4"), "valid": np.ones((20, STEPS), "f4")})
    detector, held = NearestCycle(NearestCycleConfig()), arrays.take(range(10, 20))
    detector.fit(arrays.take(range(10)), seed=0, progress=Progress())
    rows = sample_table([{"sample_id": str(n), "path": str(n), "group": "", "label": 0} for n in range(10)])
    calibration = calibrate(with_scores(rows, score_rows(rows, held, {"whole/0": detector})), rate=0.1, join="mean")
    preparation = CyclePreparation(("force",), STEPS, RATE)
    return PublishedModel("robot_cycle", "1", {"whole/0": detector}, preparation, calibration, held)


@pytest.fixture(scope="session")
def write_cycle() -> Callable[[Path, int], Path]:
    """Writes a normal cycle, which its seed tells from others."""

    def write(path: Path, seed: int) -> Path:
        force = np.sin(np.arange(STEPS) / 10) + 0.1 * np.random.default_rng([1, seed]).standard_normal(STEPS)
        pd.DataFrame({"time": np.arange(STEPS) / RATE, "force": force}).to_csv(path, index=False)
        return path

    return write
