"""LSTM-VAE: the likelihood by hand, thinning, padding, where the map points."""

import math

import pytest
import torch
from torch.nn.functional import pad

from endline.detectors.cycles.lstm_vae import LSTMVAE, LSTMVAEConfig
from endline.detectors.cycles.signals import DEVIATION_FLOOR
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.detectors.statistics import bounded_normal_nll
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

STEPS = 43  # of `cycles`
SMALL = {"hidden": 16, "latent": 4, "downsampling": 3, "epochs": 40, "batch_size": 8, "learning_rate": 1e-2}


def fitted(train: FeatureSet, **settings) -> tuple[LSTMVAE, tuple[float, ...]]:
    detector = LSTMVAE(LSTMVAEConfig(**{**SMALL, **settings}))
    return detector, detector.fit(train, seed=0, progress=Progress()).losses


@pytest.fixture(scope="module")
def trained(cycles):
    return fitted(cycles(40))


def test_nll_is_the_normal_log_density_above_its_least():
    x, mean, width = (torch.linspace(-3, 3, 60).reshape(3, 20) * sign for sign in (1, -1, 2))
    normal = torch.distributions.Normal(mean, torch.nn.functional.softplus(width) + 0.05)
    least = math.log(DEVIATION_FLOOR) + math.log(2 * math.pi) / 2
    torch.testing.assert_close(bounded_normal_nll(x, mean, width, DEVIATION_FLOOR), -normal.log_prob(x) - least)
    assert bounded_normal_nll(x, x, torch.full_like(x, -200.0), DEVIATION_FLOOR).abs().max() < 1e-6


def test_training_learns_what_to_expect(trained):
    _, losses = trained
    assert losses[-1] < 0.7 * losses[0]


def test_step_scores_are_of_downsampled_steps_and_their_mean_is_the_score(trained, cycles):
    detector, _ = trained
    batch = cycles(5, seed=1).read()
    scored = detector.score(batch)
    with torch.no_grad():
        steps, mask = detector.step_scores(batch)
    assert steps.shape == mask.shape == (5, 15)
    torch.testing.assert_close((steps * mask).sum(1) / mask.sum(1), scored.score)
    assert scored.map.shape == (5, 3, STEPS)
    assert scored.map.min() >= 0
    torch.testing.assert_close(scored.map[:, :, 4].mean(1), steps[:, 1])


def test_padding_changes_nothing(trained, cycles):
    detector, _ = trained
    batch = cycles(5, seed=1).read()
    expected = detector.score(batch).score
    long = {name: pad(array, (0, 10)) for name, array in batch.items()}
    torch.testing.assert_close(detector.score(long).score, expected)
    hidden = {**batch, "cycle": batch["cycle"] + 99 * (1 - batch["valid"][:, None])}
    assert torch.equal(detector.score(hidden).score, expected)


@pytest.mark.parametrize("signal", [0, 2])  # the second is constant in training
def test_the_map_points_at_the_fault(trained, signal, tmp_path, cycles):
    detector, _ = trained
    batch = cycles(5, seed=1).read()
    faulty = batch["cycle"].clone()
    faulty[:, signal, 18:21] += 4.0
    scored = detector.score({**batch, "cycle": faulty})
    assert scored.score.min() > detector.score(batch).score.max()
    for heat in scored.map:
        row, step = divmod(int(heat.argmax()), STEPS)
        assert row == signal
        assert 18 <= step < 21
    detector.save(tmp_path)
    assert torch.equal(load_detector(tmp_path).score(batch).score, detector.score(batch).score)


def test_where_thinning_leaves_a_rest_the_map_stays_in_place(cycles):
    detector, _ = fitted(cycles(8), epochs=1, downsampling=10)
    scored = detector.score(cycles(5).read())
    assert scored.map.shape == (5, 3, STEPS)
    changes = (scored.map.diff(dim=-1) != 0).any(0).any(0).nonzero().flatten() + 1
    assert changes.tolist() == [10, 20, 30, 40]


def test_a_single_signal_will_do(cycles):
    detector, losses = fitted(cycles(8, signals=1), epochs=1, downsampling=1)
    assert all(map(math.isfinite, losses))
    assert detector.score(cycles(5, signals=1).read()).map.shape == (5, 1, STEPS)


@pytest.mark.parametrize("name", ["hidden", "latent", "downsampling"])
def test_settings_out_of_range_are_given(name):
    with pytest.raises(EndlineError) as caught:
        LSTMVAEConfig(**{name: 0})
    values = {"hidden": 128, "latent": 32, "downsampling": 5, name: 0}
    given = ", ".join(f"{key}={value}" for key, value in values.items())
    assert str(caught.value) == f"lstm_vae has {given}: choose at least 1 of each."
