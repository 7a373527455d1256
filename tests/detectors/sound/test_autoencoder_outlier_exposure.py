"""Outlier exposure of the autoencoder: the bounded loss, both machines in a step, what is learned."""

import pytest
import torch

from endline.detectors.progress import Progress
from endline.detectors.sound.autoencoder_outlier_exposure import AutoencoderOutlierExposure, bounded_loss
from endline.detectors.sound.dense_autoencoder import DenseAutoencoderConfig
from endline.errors import EndlineError

SMALL = {"hidden": 16, "latent": 2, "epochs": 30, "min_steps": 0, "batch_size": 8, "learning_rate": 5e-3}


def new(**settings) -> AutoencoderOutlierExposure:
    return AutoencoderOutlierExposure(DenseAutoencoderConfig(**{**SMALL, **settings}))


def test_the_loss_is_bounded_and_its_slope_does_not_vanish():
    errors = torch.tensor([0.0, 1.0, 3.0, 1e6], requires_grad=True)
    losses = bounded_loss(errors[:, None])
    torch.testing.assert_close(losses, torch.tensor([0.0, 0.5, 0.75, 1.0]), atol=1e-5, rtol=0)
    losses.sum().backward()
    torch.testing.assert_close(errors.grad, 1 / (1 + errors.detach()).square())


def test_target_windows_want_0_and_outliers_1(clips):
    detector = new()
    target, other = clips(8).read(), clips(8, machine=1).read()
    detector.model = detector._build({"log_mel": (16, 30)}, 8).eval()
    detector.model.level.fit(clips(8), "log_mel")
    detector.model.frames, detector.model.count = 5, 500
    torch.manual_seed(0)
    with torch.no_grad():
        loss = detector.loss(target, other)
        known = [detector._score(each).score.mean() for each in (target, other)]
    torch.testing.assert_close(loss, (known[0] + 1 - known[1]) / 2, atol=0.02, rtol=0)


def test_exposed_it_rebuilds_the_target_and_not_the_outliers(clips):
    detector = new()
    losses = detector.fit(clips(24), seed=0, progress=Progress(), outliers=clips(6, machine=1)).losses
    assert losses[-1] < 0.7 * losses[0]
    normal, other = (detector.score(clips(8, machine, seed=1).read()).score for machine in (0, 1))
    assert 0 <= normal.max() < 0.5 < other.min() < 1


def test_without_outliers_the_remedy_is_told(clips):
    with pytest.raises(EndlineError) as caught:
        new().fit(clips(4), seed=0, progress=Progress())
    assert str(caught.value) == (
        "autoencoder_outlier_exposure learns from another machine's normal clips: "
        "name one with --params=outliers=<machine>."
    )
