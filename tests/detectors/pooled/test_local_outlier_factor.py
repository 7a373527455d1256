"""Local outlier factor: by hand, and against scikit-learn."""

import numpy as np
import pytest
from sklearn.neighbors import LocalOutlierFactor as Reference

from endline.detectors.pooled.local_outlier_factor import LocalOutlierFactor, LocalOutlierFactorConfig
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


def features(vectors) -> FeatureSet:
    return FeatureSet({"scale_0": np.asarray(vectors, "f4").reshape(len(vectors), -1, 1, 1)})


def fitted(vectors, neighbours: int) -> LocalOutlierFactor:
    detector = LocalOutlierFactor(LocalOutlierFactorConfig(neighbours))
    detector.fit(features(vectors), seed=0, progress=Progress())
    return detector


def test_one_neighbour_by_hand():
    """Of 0, 1, 3 the distances to the nearest are 1, 1, 2, the densities 1, 1, 1/2; the unit cancels."""
    score = fitted([0, 1, 3], 1).score(features([5, 7, 1.25]).read()).score
    np.testing.assert_allclose(score, [1, 2, 1], rtol=1e-6)


@pytest.mark.parametrize("neighbours", [1, 5, 20, 39, 100])
def test_equals_scikit_learn(neighbours):
    rng = np.random.default_rng(0)
    train = (rng.standard_normal((40, 9)) * rng.choice([0.2, 3.0], (40, 1))).astype("f4").astype("f8")
    test = (2 * rng.standard_normal((15, 9))).astype("f4").astype("f8")
    mean, deviation = train.mean(0), train.std(0)
    reference = Reference(n_neighbors=min(neighbours, 39), novelty=True).fit((train - mean) / deviation)
    expected = -reference.score_samples((test - mean) / deviation)
    assert np.ptp(expected) > 0.1
    score = fitted(train, neighbours).score(features(test).read()).score
    np.testing.assert_allclose(score, expected, rtol=1e-5)


def test_no_neighbour_is_told():
    with pytest.raises(EndlineError) as caught:
        LocalOutlierFactorConfig(neighbours=0)
    assert str(caught.value) == "local_outlier_factor has neighbours=0: choose at least 1."
