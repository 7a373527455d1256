"""One run of a sweep in this process: what it will compute, whether it can, and the run itself."""

import gc
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import mlflow
from kedro.config import AbstractConfigLoader
from kedro.framework.project import settings
from kedro.framework.session import KedroSession

from endline.backbones.networks import ARCHITECTURES, load_backbone
from endline.detectors.registry import build_detector
from endline.errors import EndlineError
from endline.evaluation.summary import restart_peak_memory


@dataclass(frozen=True)
class Finished:
    """What a finished run leaves.

    Attributes:
        metrics: content of its metrics file.
        version: Kedro's version of all its outputs.
        mlflow_run_id: its MLflow run, or None.
    """

    metrics: dict[str, Any]
    version: str
    mlflow_run_id: str | None = None


def configuration(project: Path, env: str | None, parameters: Mapping[str, Any]) -> AbstractConfigLoader:
    """The project's configuration with runtime parameters."""
    loader: AbstractConfigLoader = settings.CONFIG_LOADER_CLASS(
        conf_source=str(project / settings.CONF_SOURCE),
        env=env,
        runtime_params=dict(parameters),
        **settings.CONFIG_LOADER_ARGS,
    )
    return loader


def run_station(project: Path, env: str | None, station: str, parameters: Mapping[str, Any]) -> Finished:
    """Run a station's pipeline in a Kedro session of its own and read its metrics, by the session's version.

    Raises:
        EndlineError: when the pipeline writes no metrics; otherwise whatever the run raises.
    """
    restart_peak_memory()
    before, status = _last_mlflow_run(), "KILLED"
    try:
        session = KedroSession.create(project_path=project, env=env, runtime_params=dict(parameters))
        with session:
            session.run(pipeline_names=[station])
        status = "FINISHED"
    except Exception:
        status = "FAILED"
        raise
    finally:
        # kedro-mlflow opens its run again at every node and closes it once; and not at all after Ctrl-C. What is
        # still active would swallow the next run.
        while mlflow.active_run() is not None:
            mlflow.end_run(status)
        gc.collect()  # features and models of this run lie in reference cycles: free them before the next
    folder = project / configuration(project, env, parameters)["catalog"]["{station}.metrics"]["filepath"]
    folder = Path(str(folder).format(station=station))
    file = folder / session.session_id / folder.name
    if not file.exists():
        raise EndlineError(f"The pipeline '{station}' wrote no {file}: a sweep needs a station that ends in metrics.")
    run_id = _last_mlflow_run()
    return Finished(json.loads(file.read_text()), session.session_id, None if run_id == before else run_id)


def settings_digest(project: Path, env: str | None, station: str, parameters: Mapping[str, Any]) -> str:
    """Digest of everything in the configuration that can change the figures of a run.

    That is the station's resolved parameters and the settings of its detector, defaults of the code included; not
    the raw folder's path (its content has a digest of its own), not the number of exhibits, and the number of views
    only where the detector reads views.
    """
    resolved = configuration(project, env, parameters)["parameters"]
    own = {key: value for key, value in resolved.get(station, {}).items() if key != "exhibits"}
    own["run"] = {key: value for key, value in own.get("run", {}).items() if key != "raw"}
    name, detectors = own["run"].get("detector", ""), resolved.get("detectors", {})
    try:
        detector = build_detector(name, detectors)
        told = {"type": detectors[name]["type"], **asdict(detector.config)}
        if "views" not in detector.required:
            own = {group: _without_views(settings) for group, settings in own.items()}
    except EndlineError:  # the run itself will say so
        told = dict(detectors.get(name, {}))
    content = json.dumps([station, own, told], sort_keys=True, default=str)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _without_views(settings: Any) -> Any:
    return {key: value for key, value in settings.items() if key != "views"} if isinstance(settings, dict) else settings


def missing_weights(project: Path, env: str | None, station: str, parameters: Mapping[str, Any]) -> str | None:
    """Why the run's backbone cannot be had, in the words of its EndlineError; None when it can, or is unknown."""
    for group in configuration(project, env, parameters)["parameters"].get(station, {}).values():
        if isinstance(group, Mapping) and group.get("backbone") in ARCHITECTURES:
            return _missing(group["backbone"], group.get("weights"))
    return None


def sentence(error: BaseException) -> str | None:
    """Sentence of the EndlineError behind an exception, however deep Kedro has wrapped it; None without one."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, EndlineError):
        cause = cause.__cause__
    return None if cause is None else str(cause)


@cache
def _missing(backbone: str, weights: str | None) -> str | None:
    try:
        load_backbone(backbone, weights)
    except EndlineError as error:
        return str(error)
    return None


def _last_mlflow_run() -> str | None:
    run = mlflow.last_active_run()
    return None if run is None else str(run.info.run_id)
