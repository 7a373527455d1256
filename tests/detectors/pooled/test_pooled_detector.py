"""Standardised pooled features, seen through the nearest neighbour."""

import numpy as np
import pytest
import torch

from endline.detectors.maps.padim import Padim, PadimConfig
from endline.detectors.maps.patchcore import Patchcore, PatchcoreConfig
from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
from endline.detectors.pooled.isolation_forest import IsolationForest, IsolationForestConfig
from endline.detectors.pooled.local_outlier_factor import LocalOutlierFactor, LocalOutlierFactorConfig
from endline.detectors.pooled.nearest_neighbour import NearestNeighbour, NearestNeighbourConfig
from endline.detectors.pooled.one_class_svm import OneClassSVM, OneClassSVMConfig
from endline.detectors.pooled.pooled_detector import PooledDetector
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
def test_a_feature_that_stays_constant_says_nothing(value):
    train, test = ({name: array.copy() for name, array in arrays.items()} for arrays in (TRAIN, TEST))
    train["scale_0"][:, 1] = test["scale_0"][:, 1] = value
    left_out = [{**arrays, "scale_0": arrays["scale_0"][:, [0, 2]]} for arrays in (TRAIN, TEST)]
    assert torch.equal(scores(train, test), scores(*left_out))


CLOSED = {
    "gaussian": Gaussian(GaussianConfig()),
    "isolation_forest": IsolationForest(IsolationForestConfig(trees=20)),
    "local_outlier_factor": LocalOutlierFactor(LocalOutlierFactorConfig()),
    "nearest_neighbour": NearestNeighbour(NearestNeighbourConfig()),
    "one_class_svm": OneClassSVM(OneClassSVMConfig()),
    "padim": Padim(PadimConfig()),
    "patchcore": Patchcore(PatchcoreConfig()),
}


@pytest.mark.parametrize("detector", CLOSED.values(), ids=CLOSED.keys())
@pytest.mark.parametrize(("value", "other"), [(0.0, 1.0), (24.0, 0.0), (1000.0, 900.0)])
def test_a_departure_of_what_never_changed_raises_the_score_of_every_closed_form(detector, value, other):
    train, usual, departed = ({name: array.copy() for name, array in arrays.items()} for arrays in (TRAIN, TEST, TEST))
    train["scale_0"][:, 1] = usual["scale_0"][:, 1] = value
    departed["scale_0"][:, 1] = other
    detector.fit(features(train), seed=0, progress=Progress())
    before, after = (detector.score(features(arrays).read()).score for arrays in (usual, departed))
    assert bool((after > before).all())
    if isinstance(detector, Gaussian | PooledDetector):  # whatever the unit of the other features
        assert float(after.min()) > float(before.max()) + 5


@pytest.mark.parametrize("name", ["gaussian", "isolation_forest", "local_outlier_factor", "nearest_neighbour"])
def test_a_departure_is_seen_beside_features_of_any_size(name):
    train, usual = ({key: array.copy() for key, array in arrays.items()} for arrays in (TRAIN, TEST))
    for arrays in (train, usual):
        arrays["scale_1"] *= 1e6  # such as a counter
        arrays["scale_0"][:, 1] = 24.0
    CLOSED[name].fit(features(train), seed=0, progress=Progress())
    before = CLOSED[name].score(features(usual).read()).score
    usual["scale_0"][:, 1] = 0.0
    assert float(CLOSED[name].score(features(usual).read()).score.min()) > float(before.max()) + 5


@pytest.mark.parametrize("detector", CLOSED.values(), ids=CLOSED.keys())
def test_where_no_feature_is_constant_the_score_is_the_methods_to_the_last_bit(detector):
    detector.fit(features(TRAIN), seed=0, progress=Progress())
    batch = features(TEST).read()
    assert torch.equal(detector.score(batch).score, detector._score(batch).score)
