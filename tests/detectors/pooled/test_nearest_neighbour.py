"""Nearest neighbour: by hand, and against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from endline.detectors.pooled.nearest_neighbour import NearestNeighbour, NearestNeighbourConfig
from endline.detectors.progress import Progress
from endline.detectors.statistics import nearest
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


def features(vectors) -> FeatureSet:
    return FeatureSet({"scale_0": np.asarray(vectors, "f4").reshape(len(vectors), -1, 1, 1)})


def fitted(vectors, neighbours: int = 2) -> NearestNeighbour:
    detector = NearestNeighbour(NearestNeighbourConfig(neighbours))
    detector.fit(features(vectors), seed=0, progress=Progress())
    return detector


def test_mean_distance_to_the_two_nearest_by_hand():
    deviation = np.sqrt(8 / 3)  # of 0, 2, 4
    score = fitted([0, 2, 4]).score(features([2, 7, 0.5]).read()).score
    np.testing.assert_allclose(score, np.array([1, 4, 1]) / deviation, rtol=1e-6)


@pytest.mark.parametrize("neighbours", [1, 5, 40, 100])
def test_equals_scikit_learn(neighbours):
    rng = np.random.default_rng(0)
    train, test = (rng.standard_normal((count, 9)).astype("f4").astype("f8") for count in (40, 15))
    mean, deviation = train.mean(0), train.std(0)
    search = NearestNeighbors(n_neighbors=min(neighbours, 40)).fit((train - mean) / deviation)
    expected = search.kneighbors((test - mean) / deviation)[0].mean(1)
    score = fitted(train, neighbours).score(features(test).read()).score
    np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_equal_vectors_have_the_distance_zero():
    vectors = 1e4 + torch.randn(50, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    distances, rows = nearest(vectors, vectors, 1)
    assert torch.equal(rows[:, 0], torch.arange(50))
    assert not distances.any()


def test_no_neighbour_is_told():
    with pytest.raises(EndlineError) as caught:
        NearestNeighbourConfig(neighbours=0)
    assert str(caught.value) == "nearest_neighbour has neighbours=0: choose at least 1."
