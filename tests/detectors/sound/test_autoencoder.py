"""The dense autoencoder: its layers, score and map, short clips, levelling."""

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from endline.detectors.progress import Progress
from endline.detectors.sound.autoencoder import Autoencoder
from endline.detectors.sound.dense_autoencoder import DenseAutoencoderConfig
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = {"hidden": 16, "latent": 2, "epochs": 30, "min_steps": 0, "batch_size": 8, "learning_rate": 5e-3}


def fitted(train: FeatureSet, **settings) -> tuple[Autoencoder, tuple[float, ...]]:
    detector = Autoencoder(DenseAutoencoderConfig(**{**SMALL, **settings}))
    return detector, detector.fit(train, seed=0, progress=Progress()).losses


@pytest.fixture(scope="module")
def trained(clips):
    return fitted(clips(24))


def test_the_published_layers(published):
    model = published("autoencoder")._build({"log_mel": (128, 313)}, 1000)
    sizes = [(each.in_features, each.out_features) for each in model.modules() if isinstance(each, nn.Linear)]
    widths = [640, 128, 128, 128, 128, 8, 128, 128, 128, 128, 640]
    assert sizes == list(itertools.pairwise(widths))
    assert sum(isinstance(each, nn.BatchNorm1d) for each in model.modules()) == 9


def test_training_learns_what_is_normal(trained, clips):
    detector, losses = trained
    assert losses[-1] < 0.3 * losses[0]
    other = detector.score(clips(8, machine=1).read()).score
    assert other.min() > detector.score(clips(8, seed=1).read()).score.max()


def test_score_is_the_mean_squared_error_of_all_windows(trained, clips):
    detector, _ = trained
    x = clips(3, seed=1).read()["log_mel"]
    level = detector.model.level
    errors = []
    for start in range(26):
        window = ((x - level.mean) * level.gain)[:, :, start : start + 5].transpose(1, 2).flatten(1)
        with torch.no_grad():
            errors.append((detector.model.layers(window) - window).square().mean(1))
    torch.testing.assert_close(detector.score({"log_mel": x}).score, torch.stack(errors).mean(0))


def test_the_map_points_at_the_fault(trained, clips):
    detector, _ = trained
    batch = clips(4, seed=1).read()
    batch["log_mel"][:, 5, 20] += 40.0
    scored = detector.score(batch)
    assert scored.map.shape == (4, 16, 30)
    assert [divmod(int(each.argmax()), 30) for each in scored.map] == [(5, 20)] * 4


@pytest.mark.parametrize("frames", [1, 3, 5])
def test_clips_of_fewer_frames_are_one_window(frames):
    clips = np.random.default_rng(0).standard_normal((6, 8, frames)).astype("f4")
    detector, _ = fitted(FeatureSet({"log_mel": clips}), epochs=1)
    assert detector.score({"log_mel": torch.from_numpy(clips)}).map.shape == (6, 8, frames)


def test_without_levelling_the_error_is_in_decibels(clips):
    detector, losses = fitted(clips(8), levelled=False, epochs=1)
    assert detector.model.level.gain == 1
    assert losses[0] > 1000  # about 40 squared


def test_settings_out_of_range_are_told():
    with pytest.raises(EndlineError) as caught:
        DenseAutoencoderConfig(latent=0)
    assert str(caught.value) == (
        "The autoencoder has frames=5, windows=32, hidden=128, latent=0: choose at least 1 of each."
    )
