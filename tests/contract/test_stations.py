"""The contract of every station: found by itself, and kept by a tiny one that only this file knows."""

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest
import yaml
from kedro.framework.project import configure_project
from kedro.framework.session import KedroSession
from kedro.pipeline import Pipeline

from endline.array_store import FeatureRecipe
from endline.compute import CPU
from endline.errors import EndlineError, FileRejected
from endline.evidence import station as stations
from endline.evidence.rejected import Rejections
from endline.evidence.station import Arrays, Preparation, Station, find_station, hottest_points, register, station_names
from endline.feature_set import FeatureSet
from endline.files import content_key
from endline.operations.inspection import Inspector
from endline.pipelines.station import create_pipeline
from endline.samples import Index, sample_table

CONF = Path(__file__).parents[2] / "conf"
SHARED = {"locate", "index", "choose", "prepare", "extract", "fit", "score", "judge", "evaluate", "report", "publish"}


@pytest.mark.parametrize("name", station_names())
def test_a_station_is_one_record_one_yaml_and_the_shared_pipeline(name):
    record = find_station(name)
    assert record.name == name == record.preparation.station
    assert record.evidence
    assert record.title
    parameters = yaml.safe_load((CONF / f"base/parameters/{name}.yml").read_text())[name]
    assert {"run", "split", "preparation", "auto", "fit", "verdict", "exhibits", "simulation"} == set(parameters)
    pipeline = create_pipeline(record)
    assert isinstance(pipeline, Pipeline)
    assert {f"{name}.{each}" for each in SHARED} <= {node.name for node in pipeline.nodes}


@pytest.mark.parametrize("name", station_names())
def test_a_preparation_survives_json(name):
    cls = find_station(name).preparation
    of_cycles, of_clips = {"signals": ("force", "way"), "length": 10, "rate": 50.0}, {"samples": 160_000}
    needed = {"robot_cycle": of_cycles, "machine_audio": of_clips}
    preparation = cls(**needed.get(name, {}))
    assert cls.from_plain(json.loads(json.dumps(preparation.plain()))) == preparation


def test_an_unknown_station_is_reported():
    with pytest.raises(
        EndlineError, match=r"There is no station 'weld': choose one of machine_audio, mirror_audio, robot_cycle"
    ):
        find_station("weld")


@dataclass(frozen=True)
class Scales(Preparation):
    """Weights of a part on four scales, relative to the usual ones."""

    station: ClassVar[str] = "scales"
    usual: tuple[float, ...] = (1.0, 1.0, 1.0, 1.0)

    def recipe(self, samples, folder, store, compute=CPU) -> FeatureRecipe:
        def batches(parts):
            for path in samples["path"]:
                yield {"weights": self.relative(read(folder / path))}

        key = content_key(samples["digest"].tolist(), self.usual)
        return FeatureRecipe({"scale_0": ("weights",)}, {"weights": key}, len(samples), batches, {"weights": "float32"})

    def inspect(self, path, compute=CPU):
        rows = sample_table([{"sample_id": path.name, "path": path.name, "group": ""}])
        return rows, FeatureSet({"scale_0": self.relative(read(path))})

    def relative(self, weights) -> np.ndarray:
        return (np.asarray(weights, "f4") / np.asarray(self.usual, "f4")).reshape(1, 4, 1, 1)

    @classmethod
    def from_plain(cls, plain) -> Self:
        return cls(tuple(plain["usual"]))


def read(path: Path) -> list[float]:
    try:
        weights = json.loads(path.read_text())
    except ValueError as error:
        raise FileRejected("no JSON", "weigh it again") from error
    return [float(each) for each in weights]


def index(folder: Path, request) -> Index:
    rejections, rows = Rejections(folder, "weighing"), []
    for path in sorted(folder.glob("*/*.json")):
        name = path.relative_to(folder).as_posix()
        with rejections.instead(name):
            read(path)
            kind = path.parent.name
            about = {"label": int(kind != "normal"), "kind": kind, "group": "scales", "digest": rejections.digest(name)}
            rows.append({"sample_id": name, "path": name, **about})
    return Index(sample_table(rows), rejections.table(len(rows), usable=bool(rows)))


def prepare(samples: pd.DataFrame, folder: Path, facts: Any, parameters: Any, wanted: Arrays) -> Scales:
    training = samples.loc[samples["split"] == "train", "path"]
    return Scales(tuple(np.mean([read(folder / path) for path in training], 0).tolist()))


def simulate(folder: Path, settings: Any, progress: Any) -> Path:
    raise AssertionError("the tests give their own files")


@pytest.fixture
def scales(project, tmp_path, monkeypatch) -> Iterator[Path]:
    """The tiny station registered, its YAML in the test's project; gives a folder of weighings."""
    rng = np.random.default_rng(0)
    for kind, count, weight in (("normal", 12, 1.0), ("empty", 3, 0.2)):
        (tmp_path / kind).mkdir()
        for number in range(count):
            weights = weight + 0.01 * rng.standard_normal(4)
            (tmp_path / kind / f"{number}.json").write_text(json.dumps(weights.tolist()))
    (tmp_path / "normal/broken.json").write_text("not weighed")
    monkeypatch.setattr(stations, "_REGISTERED", {})
    register(Station("scales", "Scales", "weighings", index, prepare, Scales, hottest_points, lambda *_: [], simulate))
    parameters = yaml.safe_load((project.folder / "conf/base/parameters/surface_image.yml").read_text())[
        "surface_image"
    ]
    parameters["run"] |= {"station": "scales", "detector": "gaussian", "raw": str(tmp_path)}
    parameters["fit"] |= {"folds": 2, "few": 5}
    file = project.folder / "conf/base/parameters/scales.yml"
    file.write_text(yaml.safe_dump({"scales": parameters}))
    configure_project("endline")
    yield tmp_path
    file.unlink()
    monkeypatch.undo()
    configure_project("endline")


def test_a_new_station_is_a_record_and_a_yaml(project, scales):
    with contextlib.chdir(project.folder), KedroSession.create(project.folder, env="smoke") as session:
        session.run(pipeline_names=["scales"])
        catalog = session.load_context().catalog
        metrics, rejected = catalog.load("scales.metrics"), catalog.load("scales.rejected")
    assert metrics["auroc"] == 1.0
    assert rejected["path"].tolist() == ["normal/broken.json"]
    inspector = Inspector.load("scales", project=project.folder)
    assert (
        inspector.inspect(scales / "empty/0.json")["score"].item()
        > inspector.inspect(scales / "normal/0.json")["score"].item()
    )
