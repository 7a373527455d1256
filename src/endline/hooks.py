"""Project hooks: every run is recorded in MLflow, whole, and misspelt options are refused."""

import logging
import posixpath
import re
import shutil
from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import settings
from kedro.io import AbstractVersionedDataset, DataCatalog
from kedro.io.core import Version
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from endline.dotted import flatten
from endline.errors import EndlineError
from endline.evaluation.summary import restart_peak_memory
from endline.reporting.provenance import git_commit, machine, package_versions

ALWAYS_ALLOWED = {"mlflow_run_id", "mlflow_parent_run_id", "sweep"}
log = logging.getLogger(__name__)
LONGEST_NAME = 250  # of a metric in MLflow
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
    """Measures the memory of this run alone, keeps it to its own outputs, clears its checkpoints at a good end.

    Example:
        `HOOKS = (Options(), Housekeeping(), Tracking())` in `settings.py`.
    """

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline) -> None:
        """Let the peak of the resident memory start anew (Linux; elsewhere it is that of the process)."""
        restart_peak_memory()

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog) -> None:
        """Let the nodes behind this one load what it saves, not a later version that another run has saved since."""
        for name in node.outputs:
            dataset = catalog.get(name)
            if isinstance(dataset, AbstractVersionedDataset) and (version := dataset.resolve_save_version()):
                dataset._version = Version(version, version)

    @hook_impl
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Everything is saved: the checkpoints have done their service."""
        for run in _run_settings(pipeline, catalog):
            shutil.rmtree(run["checkpoints"], ignore_errors=True)
            report = catalog.get(f"{run['station']}.report")
            if isinstance(report, AbstractVersionedDataset) and report.exists():
                log.info("The report: %s", report._get_load_path())


class Tracking:
    """Records into the MLflow run what kedro-mlflow leaves out.

    kedro-mlflow starts and ends the run, marks it failed, and logs the parameters. Here follow the tags, the package
    versions, every versioned output with its version, the metrics, and the training curves.

    Example:
        `HOOKS = (Options(), Housekeeping(), Tracking())` in `settings.py`.
    """

    def __init__(self) -> None:
        self._catalog: DataCatalog | None = None
        self._parent: str | None = None

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Make the folder of the embedded database, and remember the sweep's parent run."""
        (Path(context.project_path) / "mlruns").mkdir(exist_ok=True)
        self._parent = (context.config_loader.runtime_params or {}).get("mlflow_parent_run_id")

    @hook_impl(trylast=True)
    def before_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Tag the run with what it is and where it comes from."""
        import mlflow  # takes seconds: not for commands that record no run

        if mlflow.active_run() is None:
            return
        tags = {"git_commit": git_commit(), "machine": machine()}
        for run in _run_settings(pipeline, catalog):
            tags |= {key: str(run[key]) for key in IDENTITY}
        if self._parent:
            tags["mlflow.parentRunId"] = self._parent
        mlflow.set_tags(tags)
        mlflow.log_dict(package_versions(), "package_versions.json")

    @hook_impl
    def before_node_run(self, node: Node, catalog: DataCatalog) -> None:
        """Take the catalog here, so that it is there in worker processes too."""
        self._catalog = catalog

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log the saved file, tag its version; log metrics and curves as such."""
        import mlflow

        run = mlflow.active_run()
        if run is None or self._catalog is None:
            return
        dataset = self._catalog.get(dataset_name)
        if isinstance(dataset, AbstractVersionedDataset) and (version := dataset.resolve_save_version()):
            mlflow.set_tag(f"version.{dataset_name}", version)
            path = Path(dataset._get_versioned_path(version))
            if path.is_dir():
                mlflow.log_artifacts(str(path), path.name)
            elif path.exists():
                mlflow.log_artifact(str(path))
        kind = dataset_name.rsplit(".", 1)[-1]
        if kind == "metrics":
            mlflow.log_metrics(_numbers(data))
            mlflow.set_tag("simulated", str(data["simulated"]))
        elif kind == "history":
            _log_curves(data, run.info.run_id)


def _run_settings(pipeline: Pipeline, catalog: DataCatalog) -> Iterator[Mapping[str, Any]]:
    """The parameters `<station>.run` of the stations in the pipeline."""
    for name in sorted(pipeline.inputs()):
        if name.startswith("params:") and name.endswith(".run"):
            yield catalog.load(name)


def _metric_name(name: str) -> str:
    """The name with what MLflow refuses replaced; it takes a name for a path, which must be in its shortest form."""
    name = re.sub(r"[^\w\-. /]", "_", name)[:LONGEST_NAME]
    if posixpath.normpath(name) == name and not name.startswith(("/", "..")):
        return name
    return re.sub(r"^\.+", "_", name.replace("/", "_"))


def _numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The figures of a nested dictionary, with dotted names that MLflow accepts."""
    return {
        _metric_name(name): float(value)
        for name, value in flatten(metrics).items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def _log_curves(history: pd.DataFrame, run_id: str) -> None:
    import mlflow
    from mlflow.entities import Metric

    points = [
        Metric(_metric_name(f"loss.{row['part']}.{row['member']}"), row["loss"], timestamp=0, step=row["epoch"])
        for row in history.to_dict("records")
    ]
    for start in range(0, len(points), 1000):  # MLflow takes at most 1000 at once
        mlflow.MlflowClient().log_batch(run_id, metrics=points[start : start + 1000])
