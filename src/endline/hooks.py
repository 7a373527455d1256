"""Project hooks: every run is recorded in MLflow, whole, and misspelt options are refused."""

import logging
import re
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.config import MissingConfigException
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import settings
from kedro.io import AbstractVersionedDataset, DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from endline.detectors.candidates import possible_detectors
from endline.detectors.progress import clear_checkpoints
from endline.dotted import flatten
from endline.errors import EndlineError
from endline.evaluation.summary import restart_peak_memory
from endline.evidence.station import station_names
from endline.files import clear_partials, locked, remove_empty
from endline.reporting.provenance import git_commit, machine, package_versions
from endline.simulation import simulated_folder
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
from endline.versions import (
    MLFLOW_RUN,
    RUN_VERSION,
    RUNS_LOCK,
    begun_version,
    clear_outputs,
    pin_versions,
    read_versions,
    saved_outputs,
    versioned_folders,
)

ALWAYS_ALLOWED = {MLFLOW_RUN, RUN_VERSION, "mlflow_parent_run_id", "sweep"}
LONGEST_NAME = 240  # of a figure; MLflow takes 250 letters
DETECTORS = "params:detectors"
log = logging.getLogger(__name__)
IDENTITY = ("station", "group", "detector", "seed")


class Options:
    """Refuses options of `--params` that nothing reads, instead of ignoring them.

    Example:
        `kedro run --params=sed=1` ends in "did you mean 'seed'?".
    """

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Compare the given options, dotted ones level by level, with those that the configuration names."""
        loader = context.config_loader
        given = loader.runtime_params or {}
        if not given:
            return
        configured = type(loader)(loader.conf_source, env=loader.env, **settings.CONFIG_LOADER_ARGS)["parameters"]
        folder = Path(context.project_path) / loader.conf_source
        known = ALWAYS_ALLOWED | set(configured)
        for file in sorted(folder.rglob("*.yml")):
            known |= set(re.findall(r"\$\{runtime_params:\s*(\w+)", file.read_text()))
        for name in flatten(given):
            _check_option(name.split("."), known, configured)


def _check_option(path: list[str], known: Collection[str], configured: Any) -> None:
    for depth, name in enumerate(path):
        if name not in known:
            option = ".".join(path[: depth + 1])
            close = get_close_matches(name, known, 1)
            hint = (
                f"did you mean '{'.'.join([*path[:depth], close[0]])}'?"
                if close
                else f"known are {', '.join(sorted(known))}."
            )
            raise EndlineError(f"Nothing reads the option '{option}' of --params: {hint}")
        configured = configured.get(name) if isinstance(configured, Mapping) else None
        # The settings of a detector are known to its class, which refuses strange ones itself.
        if not isinstance(configured, Mapping) or path[:depth] == ["detectors"]:
            return
        known = set(configured)


class Housekeeping:
    """Keeps a run to itself: its memory, its versions, its checkpoints; and removes what dead runs left.

    Example:
        `HOOKS = (Options(), Housekeeping(), Tracking())` in `settings.py`.
    """

    def __init__(self) -> None:
        self._project = Path()
        self._going_on = ExitStack()
        self._begun = False  # whether other processes make other parts of this run

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the project lies."""
        self._project = Path(context.project_path)

    @hook_impl(tryfirst=True)  # before MLflow's run begins: a run that cannot begin is none
    def before_pipeline_run(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Say that a run goes on, clear what dead ones left, and pin what this one reads."""
        restart_peak_memory()  # Linux; elsewhere it is that of the process
        self._going_on.close()
        version = begun_version(run_params.get("runtime_params"))
        self._begun = version is not None
        if self._begun and not run_params.get("only_missing_outputs"):
            raise EndlineError(
                f"{RUN_VERSION}={version} goes on with a run, whose outputs are made once: give --only-missing-outputs "
                "too."
            )
        with ExitStack() as going_on:
            if version is not None:
                going_on.enter_context(self._alone_with(version))
            going_on.enter_context(locked(self._project / RUNS_LOCK, shared=True))
            going_on.enter_context(simulated_folder.reading())
            self._begin(run_params, pipeline, catalog)
            self._going_on = going_on.pop_all()

    @contextmanager
    def _alone_with(self, version: str) -> Iterator[None]:
        """Let one process at a time work on a run: the rest of a task that was given up may still do."""
        lock = self._project / "mlruns" / f".{version}.lock"
        with ExitStack() as held:
            try:
                held.enter_context(locked(lock, "busy"))
            except EndlineError:
                log.info("Another process works on the run %s: this one waits until it has ended.", version)
                held.enter_context(locked(lock))
            yield

    def _begin(self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog) -> None:
        _check_detectors(pipeline, catalog)
        clear_partials(self._project / "mlruns")
        for run in run_settings(pipeline, catalog):
            clear_partials(Path(run["store"]))
            clear_partials(Path(run["raw_simulated"]).parent)
            clear_checkpoints(Path(run["checkpoints"]), own=False)
        pin_versions(
            catalog,
            # Where only what is missing shall be made, Kedro has yet to look which versions there are; of a run that
            # was begun elsewhere it shall see this run's alone.
            outputs=() if run_params.get("only_missing_outputs") and not self._begun else pipeline.all_outputs(),
            inputs=pipeline.inputs(),
            given=run_params.get("load_versions") or {},
            tell=lambda version: log.info("What earlier nodes made is read from the run %s.", version),
            begun=self._begun,
        )

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog) -> None:
        """Pin the outputs of this node in particular: in a run that makes only what is missing."""
        pin_versions(catalog, outputs=node.outputs, inputs=(), given={}, tell=log.info)
        if self._begun:
            clear_outputs(catalog, node.outputs)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Everything is saved: the run's own checkpoints have done their service."""
        for run in run_settings(pipeline, catalog):
            clear_checkpoints(Path(run["checkpoints"]), own=True)
            name = f"{run['station']}.report"
            if self._begun and name not in pipeline.all_outputs():
                continue  # the newest one is another run's
            report = catalog.get(name)
            if isinstance(report, AbstractVersionedDataset) and report.exists():
                log.info("The report: %s", report._get_load_path())
        self._going_on.close()
        with suppress(EndlineError), locked(self._project / RUNS_LOCK, "others write into these folders"):
            for run in run_settings(pipeline, catalog):
                remove_empty(Path(run["checkpoints"]))

    @hook_impl
    def on_pipeline_error(self) -> None:
        """Let others know that it goes on no more."""
        self._going_on.close()


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


def _check_detectors(pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Refuse a detector that cannot be built before anything is read: an index and its features take minutes."""
    if DETECTORS not in pipeline.inputs():
        return
    from endline.detectors.registry import build_detector  # imports torch: not for commands that run nothing

    for run in run_settings(pipeline, catalog):
        auto = f"params:{run['station']}.auto"
        for name in possible_detectors(run, catalog.load(auto) if auto in pipeline.inputs() else None):
            build_detector(name, catalog.load(DETECTORS))


def run_settings(pipeline: Pipeline, catalog: DataCatalog) -> Iterator[Mapping[str, Any]]:
    """The parameters `<station>.run` of the stations in the pipeline."""
    for name in sorted(pipeline.inputs()):
        if name.startswith("params:") and name.endswith(".run"):
            yield catalog.load(name)


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
