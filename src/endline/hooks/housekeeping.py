"""The hook that keeps a run to itself."""

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import AbstractVersionedDataset, DataCatalog
from kedro.pipeline import Pipeline
from kedro.pipeline.node import Node

from endline.detectors.candidates import possible_detectors
from endline.detectors.progress import clear_checkpoints
from endline.errors import EndlineError
from endline.evaluation.summary import restart_peak_memory
from endline.files import clear_partials, locked, remove_empty
from endline.hooks.runs import DETECTORS, run_settings
from endline.simulation import simulated_folder
from endline.versions import RUN_VERSION, RUNS_LOCK, begun_version, clear_outputs, pin_versions, read_versions

log = logging.getLogger(__name__)


class Housekeeping:
    """Keeps a run to itself: its memory, its versions, its checkpoints; and removes what dead runs left.

    Example:
        `HOOKS = (Options(), Housekeeping(), Tracking())` in `settings.py`.
    """

    def __init__(self) -> None:
        self._project = Path()
        self._going_on = ExitStack()
        self._begun = False  # whether other processes make other parts of this run
        self._reads: set[str] = set()  # what earlier runs have made

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
        self._reads = pipeline.inputs()
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

    @hook_impl(trylast=True)
    def on_node_error(self, error: Exception, node: Node, catalog: DataCatalog, inputs: dict[str, Any]) -> None:
        """Say what to do where the table of an earlier run lacks a column: an earlier version of endline made it.

        Raises:
            EndlineError: instead of a traceback that names the column alone.
        """
        if not isinstance(error, KeyError) or not error.args:
            return
        column, tables = error.args[0], {name: inputs.get(name) for name in sorted(self._reads)}
        lacking = [name for name, table in tables.items() if isinstance(table, pd.DataFrame) and column not in table]
        if lacking:
            raise EndlineError(
                f"{node.name} found no column {column} in {' and '.join(lacking)} of "
                f"{', '.join(sorted(read_versions(catalog, lacking)))}: an earlier version of endline has made that. "
                "Run the pipeline whole, without --from-nodes."
            ) from error

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


def _check_detectors(pipeline: Pipeline, catalog: DataCatalog) -> None:
    """Refuse a detector that cannot be built before anything is read: an index and its features take minutes."""
    if DETECTORS not in pipeline.inputs():
        return
    from endline.detectors.registry import build_detector  # imports torch: not for commands that run nothing

    for run in run_settings(pipeline, catalog):
        auto = f"params:{run['station']}.auto"
        for name in possible_detectors(run, catalog.load(auto) if auto in pipeline.inputs() else None):
            build_detector(name, catalog.load(DETECTORS))
