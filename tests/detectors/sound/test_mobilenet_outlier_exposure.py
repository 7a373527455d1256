"""Outlier exposure of a network of pictures: the loss, which pictures are seen, what is frozen, the threshold."""

import math

import pytest
import torch

from endline.backbones.networks import Trunk
from endline.detectors.progress import Progress
from endline.detectors.sound.mobilenet_outlier_exposure import (
    MobilenetOutlierExposure,
    MobilenetOutlierExposureConfig,
    drawn_picture,
)
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = {"size": 64, "epochs": 4, "min_steps": 0, "batch_size": 6, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def fitted(pictures) -> MobilenetOutlierExposure:
    detector = MobilenetOutlierExposure(MobilenetOutlierExposureConfig(**SMALL))
    detector.fit(pictures(12), seed=0, progress=Progress(), outliers=pictures(8, machine=1))
    return detector


def test_other_machines_score_higher(fitted, pictures):
    normal, other = (fitted.score(pictures(5, machine, seed=1).read()) for machine in (0, 1))
    assert other.score.min() > normal.score.max()
    assert other.map.shape == (5, 64, 64)


def test_the_score_is_minus_the_log_odds_and_the_threshold_a_share_of_the_mean_probability(fitted, pictures):
    batch = pictures(12).read()
    with torch.no_grad():
        odds = fitted.model(batch["stft"])
    torch.testing.assert_close(fitted.score(batch).score, -odds, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(fitted.model.threshold, 0.96 * odds.sigmoid().mean(), rtol=1e-4, atol=1e-5)


def test_the_loss_is_the_cross_entropy_of_both_machines(fitted, pictures):
    detector = MobilenetOutlierExposure(MobilenetOutlierExposureConfig(**SMALL))
    detector.model = detector._build({"stft": (1, 64, 64)}, 4).eval()
    torch.nn.init.zeros_(detector.model.head.weight)
    detector.model.head.bias.data.fill_(math.log(3))  # says 3/4 of every picture
    loss = detector.loss(pictures(2).read(), pictures(2, machine=1).read())
    assert loss.item() == pytest.approx((math.log(4 / 3) + math.log(4)) / 2, rel=1e-5)


def test_layers_below_the_frozen_stride_and_all_statistics_stay(fitted):
    start = dict(Trunk("efficientnet_lite0").state_dict())
    changed = {
        int(name.split(".")[2])
        for name, tensor in fitted.model.trunk.state_dict().items()
        if "blocks" in name and not torch.equal(tensor, start[name])
    }
    assert changed == set(range(5, 16))
    state = fitted.model.trunk.state_dict()
    assert all(torch.equal(state[name], start[name]) for name in start if "running" in name)


def test_a_clip_or_one_of_its_copies_is_drawn():
    batch = {"stft": torch.zeros(300, 1, 2, 2), "stft_shifted": torch.ones(300, 2, 2, 2)}
    batch["stft_shifted"][:, 1] = 2
    batch = {name: each + 10 * torch.arange(300.0)[:, None, None, None] for name, each in batch.items()}
    drawn = drawn_picture(batch)
    assert drawn.shape == (300, 1, 2, 2)
    copies = drawn[:, 0, 0, 0] - 10 * torch.arange(300.0)
    assert copies.unique().tolist() == [0, 1, 2]
    assert copies.long().bincount().min() > 60
    assert torch.equal(drawn_picture({"stft": batch["stft"]}), batch["stft"])


def test_it_learns_without_copies_too(pictures):
    plain = [FeatureSet({"stft": pictures(6, machine).read()["stft"].numpy()}, key=f"{machine}") for machine in (0, 1)]
    detector = MobilenetOutlierExposure(MobilenetOutlierExposureConfig(**{**SMALL, "epochs": 1}))
    detector.fit(plain[0], seed=0, progress=Progress(), outliers=plain[1])
    assert detector.score(plain[0].read()).score.shape == (6,)


def test_without_outliers_the_remedy_is_told(pictures):
    with pytest.raises(EndlineError) as caught:
        MobilenetOutlierExposure(MobilenetOutlierExposureConfig(**SMALL)).fit(pictures(4), seed=0, progress=Progress())
    assert str(caught.value) == (
        "mobilenet_outlier_exposure learns from another machine's normal clips: "
        "name one with --params=outliers=<machine>."
    )


@pytest.mark.parametrize("settings", [{"frozen_stride": 4}, {"alpha": 2.0}])
def test_settings_out_of_range_are_told(settings):
    with pytest.raises(EndlineError, match=r"choose a stride of 0, 8, 16, and an alpha from 0 to 1\."):
        MobilenetOutlierExposureConfig(**settings)
