"""Kedro dataset of a feature set: a small pointer to arrays that are stored once by their content."""

import json
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

from endline.feature_set import FeatureRecipe, FeatureSet, make_features, open_features


class FeatureSetDataset(AbstractDataset[FeatureRecipe, FeatureSet]):
    """Saves a recipe by making it (or finding it made), loads the feature set memory-mapped.

    Args:
        filepath: the pointer, a JSON file with the content key.
        store: folder of the arrays, one sub-folder a content key.
    """

    def __init__(self, filepath: str, store: str) -> None:
        self._filepath = Path(filepath)
        self._store = Path(store)

    def save(self, data: FeatureRecipe) -> None:
        """Make the recipe's arrays unless they lie in the store, then write the pointer."""
        features = make_features(data, self._store)
        about = {
            "key": features.key,
            "samples": len(features),
            "shapes": features.shapes,
            "seconds": features.seconds,
        }
        self._filepath.write_text(json.dumps(about, indent=1))

    def load(self) -> FeatureSet:
        """The feature set that the pointer names."""
        return open_features(self._store / json.loads(self._filepath.read_text())["key"])

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "store": self._store}
