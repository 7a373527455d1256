"""The map of a detector of whole cycles is hot where a cycle departs, not where its signals are large."""

import numpy as np
import pytest
import torch

from endline.detectors.cycles.cycle_neighbour import CycleNeighbour, CycleNeighbourConfig
from endline.detectors.cycles.mts_flow import MTSFlow, MTSFlowConfig
from endline.detectors.cycles.rocket_neighbour import RocketNeighbour, RocketNeighbourConfig
from endline.detectors.cycles.segment_gaussian import SegmentGaussian, SegmentGaussianConfig
from endline.detectors.cycles.usual_course import UsualCourse
from endline.detectors.progress import Progress
from endline.feature_set import FeatureSet

STEPS = 120
DETECTORS = {
    "cycle_neighbour": lambda: CycleNeighbour(CycleNeighbourConfig()),
    "rocket_neighbour": lambda: RocketNeighbour(RocketNeighbourConfig()),
    "segment_gaussian": lambda: SegmentGaussian(SegmentGaussianConfig()),
    "mts_flow": lambda: MTSFlow(MTSFlowConfig(score="statistics", epochs=1, min_hidden=4, blocks=1)),
}


def cycles(count, seed):
    """Three signals; the first is large until step 40 in every cycle, as an arm that waits where it begins."""
    rng = np.random.default_rng(seed)
    values = 0.05 * rng.standard_normal((count, 3, STEPS)) + np.sin(np.arange(STEPS) / 9 + np.arange(3)[:, None])
    values[:, 0] += 8.0 * (np.arange(STEPS) < 40)
    return values.astype("f4")


def features(values):
    return FeatureSet({"cycle": values, "valid": np.ones((len(values), STEPS), "f4")})


@pytest.fixture(scope="module", params=sorted(DETECTORS))
def fitted(request):
    detector = DETECTORS[request.param]()
    detector.fit(features(cycles(30, 0)), seed=0, progress=Progress())
    return detector


def test_the_map_is_hot_where_the_cycle_departs(fitted):
    faulty = cycles(4, 1)
    faulty[:, 0, 70:90] -= 2.0
    shown = fitted.score(features(faulty).read()).map.numpy()
    assert (shown.mean(2).argmax(1) == 0).all()
    inside = shown[:, 0, 66:94].sum(1) / shown[:, 0].sum(1)
    assert (inside > 0.6).all(), inside


def test_a_model_of_before_has_no_course_and_judges_as_before(fitted):
    state = {name: value for name, value in fitted.model.state_dict().items() if "usual" not in name}
    assert len(state) == len(fitted.model.state_dict()) - 2
    fresh = type(fitted)(fitted.config)
    fresh.fit(features(cycles(30, 2)), seed=0, progress=Progress())
    (usual,) = (one for one in fresh.model.modules() if isinstance(one, UsualCourse))
    usual.course, usual.known = torch.zeros_like(usual.course), torch.zeros_like(usual.known)
    fresh.model.load_state_dict(state)
    assert not usual.known.any()
    batch = features(cycles(4, 1)).read()
    torch.testing.assert_close(fresh.score(batch).score, fitted.score(batch).score)
