import numpy as np
import pandas as pd
import pytest
import torch

from endline.detectors.maps.position_flow import PositionFlow, PositionFlowConfig
from endline.detectors.maps.position_gaussian import PositionGaussian, PositionGaussianConfig
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SETTINGS = {"components": 3, "positions": 3, "hidden": 8, "blocks": 2, "epochs": 3, "batch_size": 8}


def maps(count: int, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"scale_0": (3, 8, 8), "scale_1": (4, 4, 4), "scale_2": (4, 2, 2)}
    return {name: rng.standard_normal((count, *shape)).astype("f4") for name, shape in shapes.items()}


def fitted(**settings) -> PositionFlow:
    detector = PositionFlow(PositionFlowConfig(**{**SETTINGS, **settings}))
    detector.fit(FeatureSet(maps(40, 0)), seed=0, progress=Progress())
    return detector


def test_without_weight_the_gaussians_alone_score():
    detector, alone = fitted(flow_weight=0.0), PositionGaussian(PositionGaussianConfig(components=3))
    alone.fit(FeatureSet(maps(40, 0)), seed=0, progress=Progress())
    new = FeatureSet(maps(6, 1)).read(range(6))
    assert torch.allclose(detector.score(new).score, alone.score(new).score)
    assert torch.allclose(detector.score(new).map, alone.score(new).map)


def test_the_flow_does_not_learn_from_what_standardises_it(monkeypatch):
    seen = {}
    rows = pd.DataFrame({"sample_id": [str(row) for row in range(40)], "unit": [str(row // 4) for row in range(40)]})
    detector = PositionFlow(PositionFlowConfig(**SETTINGS))
    standardise = PositionFlow._standardise
    monkeypatch.setattr(
        PositionFlow, "_standardise", lambda self, held: (seen.update(held=len(held)), standardise(self, held))
    )
    learn = detector.fit

    def flow_learns(self, training):
        seen["learned"] = set(training.rows["unit"])
        return (0.0,)

    monkeypatch.setattr("endline.detectors.maps.cs_flow.CSFlow._learn", flow_learns)
    learn(FeatureSet(maps(40, 0)), seed=0, progress=Progress(), rows=rows)
    assert seen["held"] == 8  # two parts of ten, whole
    assert len(seen["learned"]) == 8


def test_held_out_normals_have_the_mean_and_spread_of_the_flow():
    detector = fitted()
    assert detector.model.get_buffer("spread").min() > 0
    new = FeatureSet(maps(200, 3)).read(range(200))
    with torch.no_grad():
        flow = detector.flow._score(new).score.log()
        own = (flow - detector.model.get_buffer("level")[0]) / detector.model.get_buffer("spread")[0]
    assert abs(float(own.mean())) < 1.5


@pytest.mark.parametrize("name", ["scale_1", "scale_2"])
def test_what_is_far_off_scores_higher(name):
    detector, arrays = fitted(), maps(6, 1)
    arrays[name][3:] += 4
    score = detector.score(FeatureSet(arrays).read(range(6))).score
    assert score[3:].min() > score[:3].max()


def test_two_samples_are_enough():
    detector = PositionFlow(PositionFlowConfig(**SETTINGS))
    detector.fit(FeatureSet(maps(2, 0)), seed=0, progress=Progress())
    assert detector.score(FeatureSet(maps(2, 1)).read([0, 1])).score.isfinite().all()


@pytest.mark.parametrize("settings", [{"share": 0.0}, {"share": 1.0}, {"flow_weight": -1.0}])
def test_settings_that_cannot_be_are_refused(settings):
    with pytest.raises(EndlineError, match="choose a share between 0 and 1, and a weight from 0"):
        PositionFlowConfig(**settings)
