"""Principal components: against scikit-learn, padding, where the map points."""

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA as Reference
from torch.nn.functional import pad

from endline.detectors.cycles.pca import PCA, PCAConfig
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

STEPS = 23


def cycles(count: int, signals: int = 3, seed: int = 0, shortest: int = 15) -> FeatureSet:
    """Sines of varying phase and a little noise; the last of several signals is constant."""
    rng = np.random.default_rng([seed, count])
    valid = np.arange(STEPS) < rng.integers(shortest, STEPS + 1, count)[:, None]
    phase = np.arange(signals)[:, None] + 0.3 * rng.standard_normal((count, 1, 1))
    values = np.sin(np.arange(STEPS) / 3 + phase) + 0.02 * rng.standard_normal((count, signals, STEPS))
    if signals > 1:
        values[:, -1] = 7.0
    return FeatureSet({"cycle": (values * valid[:, None]).astype("f4"), "valid": valid.astype("f4")}, key="sines")


def fitted(train: FeatureSet, components: int = 4) -> PCA:
    detector = PCA(PCAConfig(components))
    detector.fit(train, seed=0, progress=Progress())
    return detector


@pytest.mark.parametrize("signals", [1, 3])
@pytest.mark.parametrize("components", [1, 10, 90])
def test_equals_scikit_learn_where_all_cycles_are_equally_long(signals, components):
    train, test = cycles(50, signals, shortest=STEPS), cycles(6, signals, seed=1, shortest=STEPS).read()
    known, found = (each["cycle"].double().numpy() for each in (train.read(), test))
    mean, deviation = known.mean((0, 2))[:, None], known.std((0, 2))[:, None]
    deviation[deviation < 1e-5] = 1
    known, found = (((each - mean) / deviation).reshape(len(each), -1) for each in (known, found))
    reference = Reference(min(components, 49, known.shape[1]), svd_solver="full").fit(known)
    residual = found - reference.inverse_transform(reference.transform(found))
    scored = fitted(train, components).score(test)
    np.testing.assert_allclose(scored.score, (residual**2).mean(1), rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(scored.map.flatten(1), residual**2, rtol=1e-2, atol=1e-5)


def test_components_are_orthonormal_across_batches_and_none_where_nothing_varies():
    components = fitted(cycles(70), 20).model.components
    torch.testing.assert_close(components @ components.T, torch.eye(20), atol=1e-4, rtol=0)
    same = cycles(70).take([3] * 5)
    assert not fitted(same).model.components.any()
    assert fitted(same).score(same.read()).score.max() < 1e-10


def test_padding_changes_nothing():
    train, batch = cycles(50), cycles(5, seed=1).read()
    expected = fitted(train).score(batch)
    known, long = ({name: pad(array, (0, 9)) for name, array in each.items()} for each in (train.read(), batch))
    scored = fitted(FeatureSet({name: array.numpy() for name, array in known.items()})).score(long)
    torch.testing.assert_close(scored.score, expected.score, rtol=1e-3, atol=1e-6)
    hidden = {**batch, "cycle": batch["cycle"] + 99 * (1 - batch["valid"][:, None])}
    assert torch.equal(fitted(train).score(hidden).score, expected.score)


def test_the_map_explains_the_score_and_points_at_the_fault(tmp_path):
    batch = cycles(5, seed=1).read()
    detector = fitted(cycles(50))
    normal = detector.score(batch).score
    for signal, size in ((0, 2.0), (2, 2.0)):  # the second is constant in training
        faulty = batch["cycle"].clone()
        faulty[:, signal, 8:10] += size
        scored = detector.score({**batch, "cycle": faulty})
        assert (scored.score > 2 * normal).all()
        explained = scored.map.sum((1, 2)) / (3 * batch["valid"].sum(1))
        if signal == 0:
            torch.testing.assert_close(explained, scored.score)
        else:  # a signal that leaves its constant raises the score beyond what the map shows
            assert (scored.score > explained).all()
        for heat in scored.map:
            row, step = divmod(int(heat.argmax()), STEPS)
            assert row == signal
            assert 8 <= step < 10
    detector.save(tmp_path)
    assert torch.equal(load_detector(tmp_path).score(batch).score, normal)


def test_settings_out_of_range_are_told():
    with pytest.raises(EndlineError) as caught:
        PCAConfig(components=0)
    assert str(caught.value) == "pca has components=0: choose at least 1."
