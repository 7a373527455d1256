"""Nearest cycles: against a search by loops, padding, where the map points."""

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from endline.detectors.cycles.nearest_cycle import NearestCycle, NearestCycleConfig
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


def cycles(count: int, signals: int = 3, steps: int = 23, seed: int = 0) -> FeatureSet:
    """Noisy sines of 15 to `steps` steps; the last of several signals is constant."""
    rng = np.random.default_rng([seed, count])
    valid = np.arange(steps) < rng.integers(15, steps + 1, count)[:, None]
    values = np.sin(np.arange(steps) / 3 + np.arange(signals)[:, None])
    values = values + 0.1 * rng.standard_normal((count, signals, steps))[:, :, :1]
    if signals > 1:
        values[:, -1] = 7.0
    return FeatureSet({"cycle": (values * valid[:, None]).astype("f4"), "valid": valid.astype("f4")}, key="sines")


def fitted(train: FeatureSet, **settings) -> NearestCycle:
    detector = NearestCycle(NearestCycleConfig(**settings))
    detector.fit(train, seed=0, progress=Progress())
    return detector


@pytest.mark.parametrize("signals", [1, 3])
@pytest.mark.parametrize("neighbours", [1, 2, 50])
def test_equals_a_search_by_loops(signals, neighbours):
    train, test = (cycles(count, signals, seed=count) for count in (40, 5))
    known, batch = train.read(), test.read()
    steps = known["cycle"].transpose(0, 1)[:, known["valid"] > 0]  # (signals, all steps)
    deviation = steps.std(1, correction=0)
    gain = torch.where(deviation > 1e-5, 1 / deviation, 1)[:, None]
    standardised = [
        ((each["cycle"] - steps.mean(1)[:, None]) * gain * each["valid"][:, None], each["valid"])
        for each in (known, batch)
    ]
    detector = fitted(train, neighbours=neighbours, half=False)
    for x, valid, score in zip(*standardised[1], detector.score(batch).score, strict=True):
        distances = [
            (x - other).abs().sum().item() / (signals * torch.maximum(valid, lasting).sum().item())
            for other, lasting in zip(*standardised[0], strict=True)
        ]
        assert score.item() == pytest.approx(np.mean(sorted(distances)[:neighbours]), rel=1e-4)


def test_a_training_cycle_is_its_own_neighbour():
    train = cycles(40)
    assert not fitted(train, half=False).score(train.read()).score.any()
    assert fitted(train).score(train.read()).score.max() < 1e-3


def test_half_precision_changes_little():
    batch = cycles(5, seed=1).read()
    torch.testing.assert_close(
        fitted(cycles(40)).score(batch).score, fitted(cycles(40), half=False).score(batch).score, rtol=0, atol=1e-3
    )


def test_padding_changes_nothing():
    train, batch = cycles(40), cycles(5, seed=1).read()
    expected = fitted(train).score(batch)
    known, long = ({name: pad(array, (0, 9)) for name, array in each.items()} for each in (train.read(), batch))
    scored = fitted(FeatureSet({name: array.numpy() for name, array in known.items()})).score(long)
    torch.testing.assert_close(scored.score, expected.score)
    torch.testing.assert_close(scored.map[..., :23], expected.map)
    assert not scored.map[..., 23:].any()
    hidden = {**batch, "cycle": batch["cycle"] + 99 * (1 - batch["valid"][:, None])}
    assert torch.equal(fitted(train).score(hidden).score, expected.score)


def test_the_map_explains_the_score_and_points_at_the_fault(tmp_path):
    train, batch = cycles(40), cycles(5, seed=1).read()
    detector = fitted(train)
    normal = detector.score(batch).score
    for signal, size in ((0, 3.0), (2, 0.5)):  # the second is constant in training
        faulty = batch["cycle"].clone()
        faulty[:, signal, 8:11] += size
        scored = detector.score({**batch, "cycle": faulty})
        assert (scored.score > normal).all()
        assert scored.map.shape == (5, 3, 23)
        for heat in scored.map:
            row, step = divmod(int(heat.argmax()), 23)
            assert row == signal
            assert 8 <= step < 11
    detector.save(tmp_path)
    assert torch.equal(load_detector(tmp_path).score(batch).score, normal)


def test_settings_out_of_range_are_told():
    with pytest.raises(EndlineError) as caught:
        NearestCycleConfig(neighbours=0)
    assert str(caught.value) == "nearest_cycle has neighbours=0: choose at least 1."
