"""The hook that makes what a run has published a version of its registered model."""

import logging
from pathlib import Path
from typing import Any

from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

from endline.errors import EndlineError
from endline.evidence.station import station_names
from endline.hooks.runs import run_settings
from endline.versions import versioned_folders

log = logging.getLogger(__name__)


class Registering:
    """Registers the published model of a run at its end; a registry that gives no answer ends no run.

    Runs of a sweep are comparisons: they publish nothing that shall be promoted.

    Example:
        `HOOKS = (Options(), Housekeeping(), Tracking(), Registering())` in `settings.py`.
    """

    def __init__(self) -> None:
        self._project = Path()
        self._folders: dict[str, Path] = {}
        self._sweep = False

    @hook_impl
    def after_context_created(self, context: KedroContext) -> None:
        """Remember where the project lies, and whether a sweep runs."""
        self._project = Path(context.project_path)
        self._sweep = bool((context.config_loader.runtime_params or {}).get("sweep"))

    @hook_impl
    def after_catalog_created(self, conf_catalog: dict[str, Any]) -> None:
        """Remember where versions lie."""
        self._folders = versioned_folders(conf_catalog, station_names())

    @hook_impl(tryfirst=True)  # before kedro-mlflow ends the run
    def after_pipeline_run(self, pipeline: Pipeline, catalog: DataCatalog) -> None:
        """Register what each station of the run has published."""
        made = pipeline.all_outputs()
        stations = [run["station"] for run in run_settings(pipeline, catalog) if f"{run['station']}.model" in made]
        if not stations or self._sweep:
            return
        import mlflow  # takes seconds: not for commands that record no run

        if (active := mlflow.active_run()) is None:
            return
        from endline.operations.registration import Publication, register
        from endline.operations.registry import Registry

        for station in stations:
            try:
                registry = Registry(self._project, mlflow.get_tracking_uri())
                publication = Publication.of_run(registry, self._folders, station, active.info.run_id)
                version = register(registry, publication)
                log.info("Registered as %s, the challenger: `endline promote %s` judges it.", version.label, station)
            except EndlineError as error:
                log.warning(
                    "The model of %s is published and judges, but it is not registered: %s Then run "
                    "`endline register %s`.",
                    station,
                    error,
                    active.info.run_id,
                )
