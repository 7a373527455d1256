"""Levelling: one mean a band, one deviation for all."""

import numpy as np
import torch

from endline.detectors.sound.levelling import Levelling
from endline.feature_set import FeatureSet


def fitted(clips: np.ndarray) -> Levelling:
    level = Levelling(clips.shape[1])
    level.fit(FeatureSet({"log_mel": clips.astype("f4")}), "log_mel")
    return level


def test_bands_lose_their_mean_and_keep_their_share_of_the_variance():
    clips = np.random.default_rng(0).standard_normal((40, 3, 9)) * [[1.0], [2.0], [5.0]] - [[40.0], [0.0], [90.0]]
    levelled = fitted(clips)(torch.from_numpy(clips)).double()
    torch.testing.assert_close(levelled.mean((0, 2)), torch.zeros(3).double(), atol=1e-5, rtol=0)
    variance = levelled.var((0, 2), correction=0)
    torch.testing.assert_close(variance.mean(), torch.tensor(1.0).double(), atol=1e-5, rtol=0)
    own = torch.from_numpy(clips).var((0, 2), correction=0)
    torch.testing.assert_close(variance / variance[0], own / own[0], atol=1e-4, rtol=0)


def test_clips_that_never_change_become_zero():
    clips = np.full((4, 3, 9), -61.7)
    assert fitted(clips).gain == 1
    assert fitted(clips)(torch.full((1, 3, 9), -61.7)).abs().max() < 1e-4
