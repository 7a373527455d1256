"""What the hooks ask a pipeline for."""

from collections.abc import Iterator, Mapping
from typing import Any

from kedro.io import DataCatalog
from kedro.pipeline import Pipeline

DETECTORS = "params:detectors"


def run_settings(pipeline: Pipeline, catalog: DataCatalog) -> Iterator[Mapping[str, Any]]:
    """The parameters `<station>.run` of the stations in the pipeline."""
    for name in sorted(pipeline.inputs()):
        if name.startswith("params:") and name.endswith(".run"):
            yield catalog.load(name)
