"""The shared nodes by themselves."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
from torch import nn

from endline.detectors.base import Detector
from endline.detectors.scored import Scored
from endline.feature_set import FeatureSet, make_features
from endline.pipelines.detection.nodes import score


@dataclass(frozen=True)
class DrawingConfig:
    side: int = 0
    height: float = 1.0


class Drawing(Detector[DrawingConfig]):
    """Scores by the value; its maps are squares of a side and a height, or none."""

    Config = DrawingConfig
    required = ("x",)

    def _build(self, shapes, samples):
        return nn.Identity()

    def _learn(self, training):
        return ()

    def _score(self, batch):
        side, count = self.config.side, len(batch["x"])
        heat = batch["x"].new_full((count, side, side), self.config.height) if side else None
        return Scored(batch["x"][:, 0], heat)


@pytest.mark.parametrize("first", [DrawingConfig(), DrawingConfig(2), DrawingConfig(4, 2.0)])
def test_other_maps_of_equal_scores_are_other_maps(first, tmp_path):
    """Settings may change the maps and not the scores: the store must not give back the earlier ones."""
    columns = {"split": "test", "control": False, "part": None, "item_id": ["a", "b"], "mask_path": ["m.png", None]}
    samples = pd.DataFrame({"sample_id": ["a", "b"], **columns})
    features = FeatureSet({"x": np.array([[1.0], [2.0]], "f4")}, key="two")
    wanted = DrawingConfig(4)
    for config in (first, wanted):
        detectors = {"whole/0": Drawing(config)}
        rows, recipe, _ = score(samples, features, detectors, exhibits=0)
        maps = make_features(recipe, tmp_path)
    assert maps.shapes["map"] == (4, 4)
    assert (maps.read()["map"] == 1.0).all()
    assert rows["score"].tolist() == [1.0, 2.0]
    again = make_features(score(samples, features, detectors, exhibits=0)[1], tmp_path)
    assert again.key == maps.key
