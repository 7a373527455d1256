"""What a run has published becomes a version of a registered model in MLflow."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd

from endline.errors import EndlineError
from endline.files import locked, whole, write_whole
from endline.operations.registry import CHALLENGER, MODEL, Registered, Registry, beside, model_name, registered_as
from endline.operations.verdicts import COLUMNS, NUMBERS
from endline.published import ABOUT
from endline.samples import TRAIN
from endline.tracking import READS, VERSION, data_digest, link_folder, local_folder

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow.entities import LoggedModel

TRAINING = "artifacts/training.json"  # of a registered model's folder: digests of what it has learned from
FIGURES = ("auroc", "auroc_low", "false_alarm_rate", "recall", "threshold", "fit_seconds", "score_ms_per_sample")
DATA, TRAINED = "endline.data", "endline.training"  # tags: digests of all files, and of those that trained
KEPT_TAGS = ("station", "group", "detector", "seed", "simulated", "git_commit", DATA, TRAINED, "endline.files")
EXAMPLE = {"columns": ["path"], "data": [["new/part"]]}
LOCK = Path("mlruns/.registry.lock")


@dataclass(frozen=True)
class Publication:
    """A published model, and what its run knows of it.

    Attributes:
        folder: of the published model.
        station: its name.
        group: of its run.
        tags: what else is known.
        figures: of merit, name -> number.
        training: path -> digest of the files that it has learned from, by detector, threshold or both.
        run_id: of the MLflow run.

    Example:
        `Publication.of_run(registry, versioned_folders(catalog, ["mirror_audio"]), "mirror_audio", run_id)`
    """

    folder: Path
    station: str
    group: str
    tags: Mapping[str, str]
    figures: Mapping[str, float]
    training: Mapping[str, str]
    run_id: str

    @classmethod
    def of_run(cls, registry: Registry, folders: Mapping[str, Path], station: str, run_id: str) -> "Publication":
        """What a run of a station has published.

        Args:
            registry: of the project.
            folders: of the versions of each dataset.
            station: its name.
            run_id: of the MLflow run, whose tags say under which version each output lies.

        Raises:
            EndlineError: where an output is missing.
        """
        with registry.reached():
            recorded = registry.client.get_run(run_id).data.tags

        def output(name: str) -> Path:
            folder = folders[f"{station}.{name}"]
            # Its own, or that of the earlier run that it has read.
            versions = [recorded.get(f"version.{station}.{name}", ""), *recorded.get(READS, "").split()]
            paths = [registry.project / folder / version / folder.name for version in versions if version]
            for path in paths:
                if path.exists():
                    return path
            raise EndlineError(
                f"The MLflow run {run_id} has no {name} of {station} any more, so its model cannot be registered: run "
                "the station again."
            )

        metrics = json.loads(output("metrics").read_text())
        digests = json.loads(output("inputs").read_text())["digests"]
        samples = pd.read_parquet(output("samples"), columns=["path", "split", "digest"])
        learned = samples[samples["split"] == TRAIN]
        training = dict(zip(learned["path"].astype(str), learned["digest"].astype(str), strict=True))
        model = output("model")
        about = json.loads((model / ABOUT).read_text())
        tags = {
            "station": station,
            "group": metrics["group"],
            "detector": metrics["detector"],
            "seed": metrics["seed"],
            "simulated": metrics["simulated"],
            "git_commit": about["about"]["git_commit"],
            VERSION: about["run"],
            DATA: data_digest(digests),
            TRAINED: data_digest(training),
            "endline.files": len(digests),
        }
        figures = {name: float(metrics[name]) for name in FIGURES if metrics[name] is not None}
        texts = {key: str(value) for key, value in tags.items()}
        return cls(model, station, metrics["group"], texts, figures, training, run_id)


def register(registry: Registry, publication: Publication) -> Registered:
    """Make a published model a version of its registered model, which `challenger` names from now on.

    Its files lie on the disk once where MLflow keeps its own there too. A model that is registered already stays the
    version that it is.

    Args:
        registry: of the project.
        publication: the model.

    Raises:
        EndlineError: when the registry gives no answer, or the disk is full.
    """
    name = model_name(publication.station, publication.group)
    with locked(registry.project / LOCK):
        known = registered_as(publication.folder)
        if known is not None and known.name == name:
            return known
        run = publication.tags[VERSION]
        versions = registry.versions(name)
        before = [int(each.version) for each in versions if each.tags.get(VERSION) == run]
        if before:
            version = before[-1]
        else:
            with registry.reached():
                version = _new_version(registry, name, publication)
        if not versions or version >= int(versions[-1].version):  # of a process killed before this line too
            registry.set_alias(name, CHALLENGER, version)
    write_whole(beside(publication.folder), json.dumps({"name": name, "version": version}))
    return Registered(name, version)


def register_recalibrated(registry: Registry, folder: Path, run: str, before: Registered) -> Registered:
    """Make a registered model with another threshold a version of its own, which has learned from the same.

    Args:
        registry: of the project.
        folder: of the published model with the other threshold.
        run: its id.
        before: the version that it was made of.

    Raises:
        EndlineError: as `register`.
    """
    _, version = registry.find(Registered(before.name, before.version))
    training = training_of(registry.files(version))
    known = {name: text for name, text in version.tags.items() if name in KEPT_TAGS}
    tags = {**known, VERSION: run, "endline.recalibrated": before.label}
    station, group = known.get("station", ""), known.get("group", "")
    publication = Publication(folder, station, group, tags, {}, training, str(version.run_id))
    return register(registry, publication)


def training_of(files: Path) -> dict[str, str]:
    """Path -> digest of what a registered model has learned from.

    Args:
        files: its folder in MLflow.

    Raises:
        EndlineError: when the list is missing or damaged.
    """
    try:
        return {str(path): str(digest) for path, digest in json.loads((files / TRAINING).read_text()).items()}
    except (OSError, ValueError, AttributeError) as error:
        raise EndlineError(
            f"{files / TRAINING} cannot be read ({error}), so nobody knows what the model has learned from: run the "
            "station again."
        ) from error


def _new_version(registry: Registry, name: str, publication: Publication) -> int:
    from mlflow.entities import LoggedModelOutput, Metric
    from mlflow.exceptions import MlflowException

    client, run_id = registry.client, publication.run_id
    experiment = client.get_run(run_id).info.experiment_id
    logged = client.create_logged_model(
        experiment, publication.station, run_id, tags=dict(publication.tags), model_type="anomaly detection"
    )
    _write(registry, logged, publication)
    client.finalize_logged_model(logged.model_id, "READY")
    client.log_outputs(run_id, models=[LoggedModelOutput(logged.model_id, 0)])
    now = int(time.time() * 1000)
    figures = [
        Metric(key, value, timestamp=now, step=0, model_id=logged.model_id, run_id=run_id)
        for key, value in publication.figures.items()
    ]
    client.log_batch(run_id, metrics=figures)
    try:
        client.create_registered_model(name, description=f"Published models of the station {publication.station}.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    source = f"models:/{logged.model_id}"
    tags = {**publication.tags, **{key: f"{value:.6g}" for key, value in publication.figures.items()}}
    with _tracking_at(registry.uri):
        version = client.create_model_version(
            name, source, run_id, tags, await_creation_for=0, model_id=logged.model_id
        )
    return int(version.version)


@contextmanager
def _tracking_at(uri: str) -> Iterator[None]:
    """Let MLflow look for a model's files there: it asks the address of the process, not that of its client."""
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _write(registry: Registry, logged: "LoggedModel", publication: Publication) -> None:
    """Write the files of an MLflow model, where it keeps them."""
    if (folder := local_folder(logged.artifact_location)) is not None:
        with whole(folder) as partial:
            _fill(partial, logged, publication)
        return
    with TemporaryDirectory() as name:
        _fill(Path(name), logged, publication)
        registry.client.log_model_artifacts(logged.model_id, name)


def _fill(folder: Path, logged: "LoggedModel", publication: Publication) -> None:
    """Write what `mlflow.pyfunc.save_model` would, which first reads the metadata of every package for seconds."""
    import mlflow.pyfunc
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    link_folder(publication.folder, folder / MODEL)
    write_whole(folder / TRAINING, json.dumps(dict(publication.training), indent=1))
    code = Path(__file__).with_name("registered.py")
    shutil.copy2(code, folder / code.name)  # no second name: an editor may change it in place
    (folder / "input_example.json").write_text(json.dumps(EXAMPLE))
    versions = [f"{package}=={_installed(package)}" for package in ("mlflow", "endline")]
    (folder / "requirements.txt").write_text("\n".join(versions) + "\n")
    columns: list[ColSpec | TensorSpec] = [ColSpec(_type(name), name, required=False) for name in COLUMNS]
    model = Model(
        artifact_path=logged.artifact_location,
        model_uuid=logged.model_id,
        run_id=publication.run_id,
        model_id=logged.model_id,
        signature=ModelSignature(Schema([ColSpec("string", "path")]), Schema(columns)),
        saved_input_example_info={
            "artifact_path": "input_example.json",
            "type": "dataframe",
            "pandas_orient": "split",
        },
    )
    mlflow.pyfunc.add_to_model(
        model,
        loader_module="mlflow.pyfunc.loaders.code_model",
        model_code_path=code.name,
        artifacts={"model": {"path": MODEL, "uri": str(publication.folder)}},
    )
    model.save(str(folder / "MLmodel"))


def _type(column: str) -> str:
    return {"float64": "double"}.get(NUMBERS.get(column, ""), NUMBERS.get(column, "string"))


def _installed(package: str) -> str:
    from importlib.metadata import version

    return version(package)


def register_run(registry: Registry, folders: Mapping[str, Path], run: str) -> list[Registered]:
    """Register what a run has published, after the registry gave no answer at its end.

    Args:
        registry: of the project.
        folders: of the versions of each dataset.
        run: its id in MLflow, or the version of its outputs.

    Raises:
        EndlineError: for a run that is not there, or has published nothing.
    """
    from mlflow.entities import Run

    with registry.reached():
        experiments = [each.experiment_id for each in registry.client.search_experiments()]
        found: list[Run] = []
        for query in (f"attributes.run_id = '{run}'", f"tags.`{VERSION}` = '{run}'"):
            found = found or list(registry.client.search_runs(experiments, query))
    if not found:
        raise EndlineError(f"MLflow has no run {run}: give its id in MLflow, or that of its outputs.")
    tags = found[0].data.tags
    stations = [name.split(".")[1] for name in sorted(tags) if name.startswith("version.") and name.endswith(".model")]
    if not stations:
        raise EndlineError(f"The run {run} has published no model: run the whole station.")
    run_id = found[0].info.run_id
    return [register(registry, Publication.of_run(registry, folders, station, run_id)) for station in stations]
