"""The pooled cross-scale flow: what it refuses."""

import numpy as np
import pytest

from endline.detectors.maps.hybrid_flow import HybridFlow, HybridFlowConfig
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


def test_an_empty_pool_is_told():
    with pytest.raises(EndlineError) as caught:
        HybridFlowConfig(pool=())
    assert str(caught.value) == (
        "hybrid_flow needs a pool, any of mean, std, max: for the published flow, on maps that are not pooled, choose "
        "the detector cs_flow."
    )


@pytest.mark.parametrize("changes", [{"pool": ("mean", "median")}, {"score": "logit"}])
def test_unknown_pools_and_scores_are_told(changes):
    with pytest.raises(EndlineError, match="pool takes any of mean, std, max, score one of latent, likelihood"):
        HybridFlowConfig(**changes)


def test_heights_that_do_not_halve_are_told():
    arrays = {"scale_0": np.zeros((4, 3, 14, 5), "f4"), "scale_1": np.zeros((4, 3, 6, 5), "f4")}
    with pytest.raises(EndlineError, match="The maps of 14, 6 do not halve from scale to scale"):
        HybridFlow(HybridFlowConfig()).fit(FeatureSet(arrays, key="odd"), seed=0, progress=Progress())
