"""Standardised pooled features, seen through the nearest neighbour."""

import numpy as np
import pytest
import torch

from endline.detectors.pooled.nearest_neighbour import NearestNeighbour, NearestNeighbourConfig
from endline.detectors.progress import Progress
from endline.feature_set import FeatureSet

RNG = np.random.default_rng(0)
TRAIN = {"scale_0": RNG.standard_normal((20, 3, 4, 6)), "scale_1": RNG.standard_normal((20, 2, 2, 3))}
TEST = {"scale_0": RNG.standard_normal((7, 3, 4, 6)), "scale_1": RNG.standard_normal((7, 2, 2, 3))}


def features(arrays) -> FeatureSet:
    return FeatureSet({name: array.astype("f4") for name, array in arrays.items()})


def scores(train, test) -> torch.Tensor:
    detector = NearestNeighbour(NearestNeighbourConfig())
    detector.fit(features(train), seed=0, progress=Progress())
    return detector.score(features(test).read()).score


def test_vectors_are_the_means_of_all_maps_in_units_of_the_training_deviation():
    pooled = [np.hstack([each[name].mean((2, 3)) for name in ("scale_0", "scale_1")]) for each in (TRAIN, TEST)]
    known, new = [(vectors - pooled[0].mean(0)) / pooled[0].std(0) for vectors in pooled]
    distances = np.sort(np.linalg.norm(new[:, None] - known[None], axis=2), axis=1)
    np.testing.assert_allclose(scores(TRAIN, TEST), distances[:, :2].mean(1), rtol=1e-5)


def test_unit_and_zero_of_a_feature_do_not_matter():
    def changed(arrays):
        factor = np.array([1.0, 30.0, 0.01]).reshape(1, 3, 1, 1)
        return arrays | {"scale_0": arrays["scale_0"] * factor + factor}

    torch.testing.assert_close(scores(changed(TRAIN), changed(TEST)), scores(TRAIN, TEST), rtol=1e-4, atol=0)


@pytest.mark.parametrize("value", [0.0, 0.1, 1000.0])
def test_a_feature_that_is_constant_in_training_says_nothing(value):
    train, test = ({name: array.copy() for name, array in arrays.items()} for arrays in (TRAIN, TEST))
    train["scale_0"][:, 1] = value
    test["scale_0"][:, 1] = value + 5.0
    left_out = [{**arrays, "scale_0": arrays["scale_0"][:, [0, 2]]} for arrays in (TRAIN, TEST)]
    torch.testing.assert_close(scores(train, test), scores(*left_out), rtol=1e-6, atol=0)
