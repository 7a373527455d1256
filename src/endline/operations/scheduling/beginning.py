"""Where a scheduled retraining begins: whether there is anything new to learn from, and one run for all its tasks."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.config import AbstractConfigLoader

from endline.errors import EndlineError
from endline.evidence.folders import list_folder
from endline.evidence.raw_folder import locate_raw
from endline.evidence.station import find_station
from endline.files import content_key, file_digest, locked
from endline.operations.sweep.resolved import configuration, settings_digest
from endline.tracking import VERSION, WAITS, all_runs, make_database, own_tags, tracked_in
from endline.versions import MLFLOW_RUN, new_version

if TYPE_CHECKING:  # importing it takes seconds
    from mlflow import MlflowClient
    from mlflow.entities import Run

DATA, SETTINGS, KEY, FOLDER = "endline.raw_digest", "endline.settings_digest", "endline.begun_by", "endline.raw_folder"
HOUR = 3600.0


@dataclass(frozen=True)
class Begun:
    """A run that several processes will make.

    Attributes:
        version: of its outputs.
        mlflow_run: id of its MLflow run.

    Example:
        >>> Begun("2026-01-01T00.00.00.000Z", "0a1b").line
        '{"version": "2026-01-01T00.00.00.000Z", "mlflow_run_id": "0a1b"}'
    """

    version: str
    mlflow_run: str

    @property
    def line(self) -> str:
        """What the tasks after it are given, as one line of JSON."""
        return json.dumps({"version": self.version, MLFLOW_RUN: self.mlflow_run})


def begin(
    project: Path,
    station: str,
    env: str | None,
    parameters: dict[str, Any],
    *,
    key: str | None = None,
    force: bool = False,
    hours: float = 12.0,
) -> Begun | str:
    """Begin a run of a station, where its raw files or its settings differ from those of its last whole run.

    Args:
        project: the project's folder.
        station: its name.
        env: overlay of the configuration.
        parameters: runtime parameters of the run.
        key: who begins it: asked again by the same, the same run is the answer.
        force: begin also where nothing is new.
        hours: after which a run that was begun and has not ended is given up.

    Returns:
        the run, or why none is begun.

    Raises:
        EndlineError: for an unknown station, a raw folder that is not there or holds nothing, or a file in it that
            cannot be read.
    """
    loader = configuration(project, env, parameters)
    folder = _raw_folder(loader, station)
    tags = {
        "station": station,
        DATA: folder_digest(folder),
        SETTINGS: settings_digest(project, env, station, parameters),
        FOLDER: str(folder),
    }
    client, experiment = _tracking(project, loader)
    with locked(project / "mlruns" / f".begin_{station}.lock"):
        runs = [run for run in all_runs(client, experiment, f"tags.station = '{station}'") if DATA in run.data.tags]
        runs.sort(key=lambda run: run.data.tags[VERSION], reverse=True)
        for run in runs:
            if key is not None and run.data.tags.get(KEY) == key:
                return Begun(run.data.tags[VERSION], run.info.run_id)
        if (reason := _goes_on(client, runs, tags, hours)) or (not force and (reason := _known(runs, tags))):
            return reason
        version = new_version(project)
        about = {**tags, **own_tags(version)} | ({} if key is None else {KEY: key})
        run_id = client.create_run(experiment, tags=about, run_name=station).info.run_id
        client.update_run(run_id, status=WAITS)
    return Begun(version, run_id)


def folder_digest(folder: Path) -> str:
    """Digest of the names and contents of all files in a raw folder, without what is hidden or trash.

    Raises:
        EndlineError: for a folder without files, as where a drive is not mounted, and for a file that cannot be read.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "a.wav").write_bytes(b"1")
        >>> before = folder_digest(folder)
        >>> _ = (folder / "a.wav").rename(folder / "b.wav")
        >>> folder_digest(folder) == before
        False
    """
    files = list_folder(folder).files
    if not files:
        raise EndlineError(f"There is no file in {folder}: see whether the drive is mounted, or record good parts.")
    try:
        return content_key([(path.relative_to(folder).as_posix(), file_digest(path)) for path in files])
    except OSError as error:
        raise EndlineError(
            f"{error.filename} cannot be read ({error.strerror}): check its rights and the disk."
        ) from error


def _raw_folder(loader: AbstractConfigLoader, station: str) -> Path:
    record, settings = find_station(station), loader["parameters"][station]
    found = locate_raw(
        settings["run"], lambda folder, progress: record.simulate(folder, settings["simulation"], progress)
    )
    return Path(found["folder"])


def _tracking(project: Path, loader: AbstractConfigLoader) -> tuple["MlflowClient", str]:
    """Client of MLflow, and id of the experiment, which is made where it is not there yet."""
    settings = loader["mlflow"]
    with locked(project / "mlruns" / ".database.lock"):
        make_database(settings["server"]["mlflow_tracking_uri"])
        client, known = tracked_in(settings)
        if known is not None:
            return client, known
        new = settings["tracking"]["experiment"]
        return client, str(client.create_experiment(new["name"], **new["create_experiment_kwargs"]))


def _goes_on(client: "MlflowClient", runs: list["Run"], tags: dict[str, str], hours: float) -> str | None:
    """Why a run that goes on is enough; those that were given up are marked as killed."""
    for run in runs:
        if run.info.status not in (WAITS, "RUNNING"):
            continue
        if time.time() - run.info.start_time / 1000 > hours * HOUR:
            client.set_terminated(run.info.run_id, "KILLED")
        elif _same(run, tags):
            return f"The run {run.data.tags[VERSION]} learns from these data already, with these settings."
    return None


def _known(runs: list["Run"], tags: dict[str, str]) -> str | None:
    """Why there is nothing to learn, by the newest whole run; None where there is."""
    model = f"version.{tags['station']}.model"
    last = next((run for run in runs if run.info.status == "FINISHED" and model in run.data.tags), None)
    if last is None or not _same(last, tags):
        return None
    return (
        f"Nothing is new in {tags[FOLDER]}: the run {last.data.tags[VERSION]} has learned from these data, with these "
        "settings (--force trains all the same)."
    )


def _same(run: "Run", tags: dict[str, str]) -> bool:
    return all(run.data.tags.get(name) == tags[name] for name in (DATA, SETTINGS))
