"""AnoGAN and GANomaly: their losses, the search, and what they find in short trainings."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from endline.detectors.progress import Progress
from endline.detectors.sound.anogan import AnoGAN, AnoGANConfig
from endline.detectors.sound.ganomaly import GANomaly, GANomalyConfig
from endline.detectors.sound.window_gan import ARRAY
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

SMALL = {"window": 32, "hop": 16, "hidden": 4, "epochs": 12, "batch_size": 12, "learning_rate": 2e-3}


def clips(count: int, seed: int = 0) -> FeatureSet:
    rng = np.random.default_rng([seed, count])
    values = -60 + 2 * rng.standard_normal((count, 32, 48))
    values[:, [6, 12, 18]] += 30
    return FeatureSet({ARRAY: values.astype("f4")}, key=f"hum {count} {seed}")


def fitted(cls, config):
    detector = cls(config)
    detector.fit(clips(12), seed=0, progress=Progress())
    return detector


@pytest.fixture(scope="module")
def anogan():
    return fitted(AnoGAN, AnoGANConfig(**SMALL))


@pytest.fixture(scope="module")
def ganomaly():
    return fitted(GANomaly, GANomalyConfig(**SMALL))


def windows(detector, count: int = 4) -> torch.Tensor:
    return detector.model.windows(clips(count, seed=1).read()[ARRAY][..., :32])


def test_more_steps_of_the_search_come_nearer(anogan):
    x = windows(anogan)
    left = []
    for steps in (1, 8, 40):
        searching = AnoGAN(AnoGANConfig(**SMALL, search_steps=steps))
        searching.model = anogan.model
        with torch.no_grad():
            left.append(searching.measure(x)["score"].mean().item())
    assert left[0] > left[1] > left[2]


def test_the_score_is_the_weighted_residual(anogan):
    x, judge = windows(anogan), anogan.model.discriminator
    with torch.no_grad():
        wanted, measured = judge.embedding(x), anogan.measure(x)
        made = anogan.search(x, wanted)
        features = (wanted - judge.embedding(made)).abs().mean(1)
    residual = (x - made).abs()
    torch.testing.assert_close(measured["score"], 0.9 * residual.mean((1, 2, 3)) + 0.1 * features)
    torch.testing.assert_close(measured["picture"], residual)


def test_the_search_leaves_the_networks_and_random_numbers_alone(anogan):
    before, state = {k: v.clone() for k, v in anogan.model.state_dict().items()}, torch.get_rng_state()
    anogan.score(clips(3, seed=2).read())
    assert all(torch.equal(value, before[name]) for name, value in anogan.model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("detector", ["anogan", "ganomaly"])
def test_a_loud_tone_scores_higher_and_shows_in_the_map(detector, request):
    detector = request.getfixturevalue(detector)
    normal, tone = clips(5, seed=3).read(), clips(5, seed=3).read()
    tone[ARRAY][:, 24:27, 10:30] += 40
    plain, anomalous = detector.score(normal), detector.score(tone)
    assert (anomalous.score > plain.score).all()
    assert (anomalous.map[:, 24:27, 10:30].mean((1, 2)) > 1.3 * anomalous.map[:, :20].mean((1, 2))).all()


def test_ganomaly_weighs_three_errors(ganomaly):
    batch = {ARRAY: clips(4).read()[ARRAY][..., :32]}
    x, judge = ganomaly.model.windows(batch[ARRAY]), ganomaly.model.discriminator
    with torch.no_grad():
        latent, rebuilt, again = ganomaly.model.generator(x)
        errors = (
            functional.mse_loss(judge.embedding(rebuilt), judge.embedding(x)),
            (rebuilt - x).abs().mean(),
            (again - latent).square().mean(),
        )
        torch.testing.assert_close(ganomaly.generator_loss(batch), errors[0] + 50 * errors[1] + errors[2])
        torch.testing.assert_close(ganomaly.measure(x)["score"], (latent - again).abs().mean(1))


@pytest.mark.parametrize("detector", ["anogan", "ganomaly"])
def test_each_loss_reaches_all_of_its_own_network(detector, request):
    detector = request.getfixturevalue(detector)
    batch = {ARRAY: clips(4).read()[ARRAY][..., :32]}
    for loss, network in (
        (detector.discriminator_loss, detector.model.discriminator),
        (detector.generator_loss, detector.model.generator),
    ):
        detector.model.zero_grad()
        loss(batch).backward()
        assert all(each.grad is not None and each.grad.any() for each in network.parameters())
    detector.model.zero_grad()


def test_bad_settings_are_told():
    with pytest.raises(EndlineError, match=r"anogan has search_steps=0 and feature_share=0.1"):
        AnoGANConfig(search_steps=0)
    with pytest.raises(EndlineError, match="a share from 0 to 1"):
        AnoGANConfig(feature_share=1.5)
