"""The hook that records every run in MLflow, whole."""

import re
from collections.abc import Generator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from endline.dotted import flatten
from endline.evidence.station import station_names
from endline.files import locked
from endline.hooks.runs import DETECTORS, run_settings
from endline.reporting.provenance import git_commit, machine, package_versions
from endline.tracking import (
    READS,
    WAITS,
    end_dead_runs,
    keep_artifact,
    log_data_set,
    log_parameters,
    make_database,
    naming_process,
    own_tags,
    run_name,
)
from endline.versions import MLFLOW_RUN, begun_version, read_versions, saved_outputs, versioned_folders

LONGEST_NAME = 240  # of a figure; MLflow takes 250 letters
IDENTITY = ("station", "group", "detector", "seed")


class Tracking:
    """Records into the MLflow run what kedro-mlflow leaves out.

    kedro-mlflow starts and ends the run, and marks it failed. Here follow the parameters, the tags, the package
    versions, every versioned output with its version, the metrics, and the training curves; and the end of runs that
    were killed.

    Example:
        `HOOKS = (Options(), Housekeeping(), Tracking())` in `settings.py`.
    """

    def __init__(self) -> None:
        self._catalog: DataCatalog | None = None
        self._parent: str | None = None
        self._folders: dict[str, Path] = {}
        self._recorded: set[str] = set()  # names of the parameters that the MLflow run holds

    @hook_impl(wrapper=True)
    def after_context_created(self, context: KedroContext) -> Generator[None, Any, Any]:
        """Let one process at a time set MLflow up, with a whole database; remember the sweep's parent run."""
        folder = Path(context.project_path) / "mlruns"
        with locked(folder / ".database.lock"):
            with suppress(KeyError, MissingConfigException):  # kedro-mlflow has its own defaults
                make_database(context.config_loader["mlflow"]["server"]["mlflow_tracking_uri"])
            result = yield
        self._parent = (context.config_loader.runtime_params or {}).get("mlflow_parent_run_id")
        return result

    @hook_impl
    def after_catalog_created(self, conf_catalog: dict[str, Any]) -> None:
        """Remember where versions lie: those of killed runs, of any station, have leftovers."""
        self._folders = versioned_folders(conf_catalog, station_names())

    @hook_impl(wrapper=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> Generator[None, Any, Any]:
        """Tag the run with what it is, where it comes from and which process records it; end those that were killed."""
        self._recorded.clear()
        with naming_process(run_params["run_id"]):
            result = yield
        import mlflow  # takes seconds: not for commands that record no run

        if (active := mlflow.active_run()) is None:
            return result
        tags = {"git_commit": git_commit(), "machine": machine(), **own_tags(run_params["run_id"])}
        for run in run_settings(pipeline, catalog):
            tags |= {key: str(run[key]) for key in IDENTITY}
        if reads := read_versions(catalog, pipeline.inputs()):
            tags[READS] = " ".join(sorted(reads))
        if self._parent:
            tags["mlflow.parentRunId"] = self._parent
        mlflow.set_tags(tags)
        mlflow.log_dict(package_versions(), "package_versions.json")
        end_dead_runs(mlflow.MlflowClient(), active.info.experiment_id, self._folders)
        if begun_version(run_params.get("runtime_params")):
            self._record_missing(active.data.tags, pipeline, catalog)
        return result

    def _record_missing(self, tags: Mapping[str, str], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Record what a process that was killed has saved and had no time to record."""
        self._catalog = catalog
        for name in sorted(saved_outputs(catalog, pipeline.all_outputs())):
            if f"version.{name}" not in tags:
                self.after_dataset_saved(name, catalog.load(name))

    @hook_impl(trylast=True)  # kedro-mlflow has called the MLflow run finished
    def after_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline) -> None:
        """Let a run of several processes wait for its next part, where this one has not published its model."""
        parameters = run_params.get("runtime_params") or {}
        if begun_version(parameters) is None or any(name.endswith(".model") for name in pipeline.all_outputs()):
            return
        from mlflow import MlflowClient

        MlflowClient().update_run(parameters[MLFLOW_RUN], status=WAITS)

    @hook_impl(wrapper=True)
    def before_node_run(self, node: Node, catalog: DataCatalog, inputs: dict[str, Any]) -> Generator[None, Any, Any]:
        """Take the catalog here, so that it is there in worker processes too; record the node's parameters.

        They are taken out of what kedro-mlflow sees, which would record each in a transaction of its own. The node has
        inputs of its own.
        """
        self._catalog = catalog
        given = {name: inputs.pop(name) for name in list(inputs) if name.startswith("params:")}
        given |= _chosen_settings(given.pop(DETECTORS, {}), inputs)
        result = yield  # kedro-mlflow opens the run in this thread
        import mlflow

        if (run := mlflow.active_run()) is not None:
            fresh = {name.removeprefix("params:"): given[name] for name in given if name not in self._recorded}
            log_parameters(run.info.run_id, fresh)
            self._recorded |= given.keys()
        return result

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Keep the saved file as an artifact, tag its version; log metrics and curves as such."""
        import mlflow

        run = mlflow.active_run()
        if run is None or self._catalog is None:
            return
        dataset = self._catalog.get(dataset_name)
        version = None
        if isinstance(dataset, AbstractVersionedDataset) and (version := dataset.resolve_save_version()):
            keep_artifact(run, Path(dataset._get_versioned_path(version)))
        kind = dataset_name.rsplit(".", 1)[-1]
        if kind == "metrics":
            mlflow.log_metrics(_numbers(data))
            mlflow.set_tags({"simulated": str(data["simulated"]), "mlflow.runName": run_name(data)})
        elif kind == "inputs":
            log_data_set(run.info.run_id, dataset_name.partition(".")[0], data)
        elif kind == "choice":  # until then the run is one of `auto`
            mlflow.set_tag("detector", data["detector"])
            log_parameters(run.info.run_id, {dataset_name: {"detector": data["detector"]}})
        elif kind == "history":
            _log_curves(data, run.info.run_id)
        if version:  # last: where the tag is, all is recorded
            mlflow.set_tag(f"version.{dataset_name}", version)


def _chosen_settings(detectors: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the chosen detector alone, as the parameter of a node that knows the choice; none of another's."""
    chosen = {choice["detector"] for name, choice in inputs.items() if name.endswith(".choice")}
    return {f"{DETECTORS}.{name}": detectors[name] for name in sorted(chosen & detectors.keys())}


def _metric_name(name: str) -> str:
    """The name with what MLflow refuses replaced; it reads `/` as folders, and a kind of fault may be `a//b`."""
    return re.sub(r"[^\w\-. ]", "_", name)[:LONGEST_NAME]


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a nested dictionary, with dotted names that MLflow accepts."""
    numbers: dict[str, float] = {}
    for name, value in flatten(metrics).items():
        if isinstance(value, int | float) and not isinstance(value, bool):
            accepted = _metric_name(name)
            while accepted in numbers:  # `1*` and `1?` would become one
                accepted += "_"
            numbers[accepted] = float(value)
    return numbers


def _log_curves(history: pd.DataFrame, run_id: str) -> None:
    import mlflow
    from mlflow.entities import Metric

    points = [
        Metric(_metric_name(f"loss.{row['part']}.{row['member']}"), row["loss"], timestamp=0, step=row["epoch"])
        for row in history.to_dict("records")
    ]
    for start in range(0, len(points), 1000):  # MLflow takes at most 1000 at once
        mlflow.MlflowClient().log_batch(run_id, metrics=points[start : start + 1000])
