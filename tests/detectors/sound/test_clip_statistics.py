"""Statistics of a clip over time: what moves them, and what does not."""

import numpy as np
import pytest
import torch

from endline.detectors.sound.clip_statistics import STATISTICS, correlation

CLIPS = torch.from_numpy(np.random.default_rng(0).standard_normal((3, 40, 50)))


@pytest.mark.parametrize("name", STATISTICS)
def test_a_louder_recording_is_the_same(name):
    torch.testing.assert_close(STATISTICS[name](CLIPS + 12), STATISTICS[name](CLIPS))


def test_a_slow_drift_moves_the_deviation_and_hardly_the_change():
    drift = torch.linspace(0, 10, CLIPS.shape[2], dtype=CLIPS.dtype)
    moved = {name: (STATISTICS[name](CLIPS + drift) - STATISTICS[name](CLIPS)).abs().mean() for name in STATISTICS}
    assert moved["deviation"] > 1
    assert moved["change"] < 0.1


def test_correlation_is_numpys_of_the_groups():
    groups = np.stack([part.mean(1) for part in np.array_split(CLIPS.numpy(), 16, axis=1)], axis=1)
    expected = [np.corrcoef(clip)[np.triu_indices(16, 1)] for clip in groups]
    np.testing.assert_allclose(correlation(CLIPS), expected, atol=1e-12)


def test_a_band_that_never_moves_is_correlated_with_none():
    clips = CLIPS[:, :4].clone()
    clips[:, 2] = -80
    found = correlation(clips)
    assert torch.isfinite(found).all()
    first, second = np.triu_indices(4, 1)
    assert (found[:, (first == 2) | (second == 2)] == 0).all()
