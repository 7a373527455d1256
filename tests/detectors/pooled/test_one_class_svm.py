"""One-class support vector machine: by hand, and against scikit-learn."""

import math

import numpy as np
import pytest
from sklearn.svm import OneClassSVM as Reference

from endline.detectors.pooled.one_class_svm import OneClassSVM, OneClassSVMConfig
from endline.detectors.progress import Progress
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


def features(vectors) -> FeatureSet:
    return FeatureSet({"scale_0": np.asarray(vectors, "f4").reshape(len(vectors), -1, 1, 1)})


def fitted(vectors, **settings) -> OneClassSVM:
    detector = OneClassSVM(OneClassSVMConfig(**settings))
    detector.fit(features(vectors), seed=0, progress=Progress())
    return detector


def test_two_kernels_by_hand():
    """Both samples, -1 and 1 when standardised, have the coefficient nu and lie on the boundary; gamma is 1."""
    far, middle, on = fitted([3, 5], nu=0.75).score(features([1000, 4, 5]).read()).score.tolist()
    assert far == pytest.approx(0.75 * (1 + math.exp(-4)))
    assert middle == pytest.approx(far - 0.75 * 2 * math.exp(-1))
    assert on == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("nu", "gamma"), [(0.1, 1.0), (0.5, 0.3), (0.9, 4.0)])
def test_equals_scikit_learn(nu, gamma):
    rng = np.random.default_rng(0)
    train, test = (rng.standard_normal((count, 9)).astype("f4").astype("f8") for count in (40, 15))
    mean, deviation = train.mean(0), train.std(0)
    reference = Reference(nu=nu, gamma=gamma / 9 if gamma != 1 else "scale").fit((train - mean) / deviation)
    expected = -reference.decision_function((test - mean) / deviation)
    assert np.ptp(expected) > 0.1
    score = fitted(train, nu=nu, gamma=gamma).score(features(test).read()).score
    np.testing.assert_allclose(score, expected, atol=1e-5)


def test_far_samples_share_the_score_that_no_training_sample_reaches():
    train = np.random.default_rng(0).standard_normal((60, 5))
    detector = fitted(train)
    far = detector.score(features(train[:3] + 1000).read()).score
    assert far.unique().numel() == 1
    assert detector.score(features(train).read()).score.max() < far[0] - 0.01


@pytest.mark.parametrize(("nu", "gamma"), [(0.0, 1.0), (1.0, 1.0), (0.1, 0.0)])
def test_settings_out_of_range_are_told(nu, gamma):
    with pytest.raises(EndlineError) as caught:
        OneClassSVMConfig(nu, gamma)
    assert str(caught.value) == f"one_class_svm has nu={nu} and gamma={gamma}: choose nu in (0, 1) and gamma above 0."
