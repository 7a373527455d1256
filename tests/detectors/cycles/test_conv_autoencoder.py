"""Convolutional autoencoder: any length, the masked error, padding, where the map points."""

import pytest
import torch

from endline.detectors.cycles.conv_autoencoder import ConvAutoencoder, ConvAutoencoderConfig
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

STEPS = 43  # of `cycles`
SMALL = {"hidden": 16, "latent": 8, "epochs": 40, "batch_size": 8, "learning_rate": 5e-3, "milestones": (30,)}


def fitted(train: FeatureSet, **settings) -> tuple[ConvAutoencoder, tuple[float, ...]]:
    detector = ConvAutoencoder(ConvAutoencoderConfig(**{**SMALL, **settings}))
    return detector, detector.fit(train, seed=0, progress=Progress()).losses


@pytest.fixture(scope="module")
def trained(cycles):
    return fitted(cycles(40))


@pytest.mark.parametrize("steps", [1, 2, 7, 40, 43])
@pytest.mark.parametrize("signals", [1, 3])
def test_it_rebuilds_cycles_of_any_length(signals, steps, cycles):
    detector, _ = fitted(cycles(8, signals, steps=steps), epochs=1)
    assert detector.score(cycles(5, signals, steps=steps).read()).map.shape == (5, signals, steps)


def test_training_learns_to_rebuild(trained, cycles):
    detector, losses = trained
    assert losses[-1] < 0.2 * losses[0]
    torch.testing.assert_close(
        detector.score(cycles(5, seed=1).read()).score.mean(), torch.tensor(losses[-1]), rtol=1.0, atol=0.02
    )


def test_score_and_loss_are_the_masked_mean_squared_error(trained, cycles):
    detector, _ = trained
    batch = cycles(5, seed=1).read()
    with torch.no_grad():
        x = detector.model.standardise(batch["cycle"], batch["valid"][:, None])
        squares = (detector.model(x) - x).square()
        loss = detector.loss(batch)
    each = [squares[row][:, batch["valid"][row] > 0] for row in range(5)]
    torch.testing.assert_close(detector.score(batch).score, torch.stack([one.mean() for one in each]))
    torch.testing.assert_close(loss, torch.cat([one.flatten() for one in each]).mean())


def test_what_lies_under_the_mask_is_ignored(trained, cycles):
    detector, _ = trained
    batch = cycles(5, seed=1).read()
    hidden = {**batch, "cycle": batch["cycle"] + 99 * (1 - batch["valid"][:, None])}
    assert torch.equal(detector.score(hidden).score, detector.score(batch).score)
    assert not (detector.score(batch).map * (1 - batch["valid"][:, None])).any()


@pytest.mark.parametrize("signal", [0, 2])  # the second is constant in training
def test_the_map_points_at_the_fault(trained, signal, tmp_path, cycles):
    detector, _ = trained
    batch = cycles(5, seed=1).read()
    faulty = batch["cycle"].clone()
    faulty[:, signal, 18:21] += 4.0
    scored = detector.score({**batch, "cycle": faulty})
    assert scored.score.min() > 2 * detector.score(batch).score.max()
    for heat in scored.map:
        row, step = divmod(int(heat.argmax()), STEPS)
        assert row == signal
        assert 18 <= step < 21
    detector.save(tmp_path)
    assert torch.equal(load_detector(tmp_path).score(batch).score, detector.score(batch).score)


@pytest.mark.parametrize("settings", [{"hidden": 0}, {"latent": 0}])
def test_settings_out_of_range_are_told(settings):
    with pytest.raises(EndlineError) as caught:
        ConvAutoencoderConfig(**settings)
    hidden, latent = settings.get("hidden", 220), settings.get("latent", 200)
    assert str(caught.value) == (
        f"conv_autoencoder has hidden={hidden} and latent={latent}: choose at least 1 of each."
    )
