"""Kedro dataset of fitted detectors: a folder of folders, each a detector's `config.json` and weights."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from endline.detectors.base import Detector
from endline.detectors.registry import load_detector

Detectors = dict[str, Detector[Any]]


class DetectorsDataset(AbstractDataset[Detectors, Detectors]):
    """Saves and loads named detectors (one a part of the evidence and member of the ensemble).

    Args:
        filepath: the folder; each detector has a sub-folder of its name.

    Example:
        A catalog entry: `{type: endline.datasets.detectors.DetectorsDataset, filepath: data/06_models/detectors}`.
    """

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def save(self, data: Detectors) -> None:
        """Write every detector into its sub-folder."""
        for name, detector in data.items():
            detector.save(self._filepath / name)

    def load(self) -> Detectors:
        """Every detector of the folder, by name."""
        # By either file: a detector that has lost one is reported, not left out.
        files = ("config.json", "weights.safetensors")
        folders = sorted({path.parent for path in self._filepath.rglob("*") if path.name in files})
        return {folder.relative_to(self._filepath).as_posix(): load_detector(folder) for folder in folders}

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
