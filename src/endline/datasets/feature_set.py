"""Kedro dataset of a feature set: a small pointer to arrays that lie once in a store."""

import json
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from endline.array_store import ArrayStore
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


class FeatureSetDataset(AbstractDataset[FeatureSet, FeatureSet]):
    """Saves which arrays of the store make a feature set, loads them memory-mapped.

    Args:
        filepath: the pointer, a JSON file.
        store: folder of the arrays.

    Example:
        A catalog entry: `{type: endline.datasets.feature_set.FeatureSetDataset, filepath: features.json,
        store: data/04_feature/store}`.
    """

    def __init__(self, filepath: str, store: str) -> None:
        self._filepath = Path(filepath)
        self._store = ArrayStore(Path(store))

    def save(self, data: FeatureSet) -> None:
        """Write the pointer.

        Raises:
            EndlineError: for a set whose arrays do not lie in the store.
        """
        if not data.stored or not all(self._store.has(key) for keys in data.stored.values() for key in keys):
            raise EndlineError(f"{data!r} does not lie in the store {self._store.folder}: make it there first.")
        about = {
            "arrays": data.stored,
            "samples": len(data),
            "shapes": data.shapes,
            "seconds": data.seconds,
        }
        self._filepath.write_text(json.dumps(about, indent=1))

    def load(self) -> FeatureSet:
        """The feature set that the pointer names."""
        return self._store.open(json.loads(self._filepath.read_text())["arrays"])

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "store": self._store.folder}
