"""Kedro dataset of the published model of a run: one folder."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from endline.published import PublishedModel


class PublishedModelDataset(AbstractDataset[PublishedModel, PublishedModel]):
    """Saves and loads everything that a verdict on a new sample needs.

    Args:
        filepath: the folder.

    Example:
        A catalog entry: `{type: endline.datasets.published.PublishedModelDataset, filepath: data/06_models/model}`.
    """

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def save(self, data: PublishedModel) -> None:
        """Write the folder; the run is the version, under which Kedro saves it."""
        replace(data, run=self._filepath.parent.name).save(self._filepath)

    def load(self) -> PublishedModel:
        """The model."""
        return PublishedModel.load(self._filepath)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
