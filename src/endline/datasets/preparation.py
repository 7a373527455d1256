"""Kedro dataset of a station's preparation: a JSON file that names the station."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from endline.evidence.station import Preparation
from endline.published import read_preparation, write_preparation


class PreparationDataset(AbstractDataset[Preparation, Preparation]):
    """Saves and loads how the evidence of a station becomes arrays, typed.

    Args:
        filepath: the JSON file.

    Example:
        A catalog entry: `{type: endline.datasets.preparation.PreparationDataset, filepath: preparation.json}`.
    """

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def save(self, data: Preparation) -> None:
        """Write the preparation."""
        write_preparation(data, self._filepath)

    def load(self) -> Preparation:
        """The preparation, of its station's class."""
        return read_preparation(self._filepath)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
