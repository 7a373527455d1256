"""The one training loop: schedules, order, refusals, checkpoints."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from endline.detectors.fitting import Training, known_rows
from endline.detectors.progress import Progress
from endline.detectors.training import TrainingSettings, Turn, _learning_rate, train
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

DATA = FeatureSet({"x": np.random.default_rng(0).standard_normal((10, 3)).astype("f4") + 2}, key="data")


class Mean(nn.Module):
    """Learns the mean of the data: the loss is the squared distance to it."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.zeros(3))

    def loss(self, batch):
        return (batch["x"] - self.mean).square().mean()


def settings(**changes) -> TrainingSettings:
    return TrainingSettings(**{"epochs": 4, "batch_size": 3, "learning_rate": 0.1, "weight_decay": 0.0, **changes})


def training(data: FeatureSet, seed: int = 0, progress: Progress | None = None) -> Training:
    return Training(data, known_rows(None, len(data)), seed, progress or Progress())


def trained(data=DATA, seed: int = 0, progress: Progress | None = None, **changes) -> tuple[Mean, tuple[float, ...]]:
    model = Mean()
    losses = train(model, model.loss, training(data, seed, progress), settings(**changes))
    return model, losses


@pytest.mark.parametrize(
    ("schedule", "done", "share"),
    [
        ("constant", 0.0, 1.0),
        ("constant", 0.99, 1.0),
        ("one_cycle", 0.0, 0.04),
        ("one_cycle", 0.15, 0.52),
        ("one_cycle", 0.3, 1.0),
        ("one_cycle", 0.65, 0.5),
        ("one_cycle", 1.0, 0.0),
        ("cosine", 0.0, 1.0),
        ("cosine", 0.5, 0.5),
        ("cosine", 0.25, (1 + math.sqrt(0.5)) / 2),
        ("cosine", 1.0, 0.0),
    ],
)
def test_schedules(schedule, done, share):
    assert _learning_rate(done, settings(schedule=schedule, learning_rate=2e-3)) == pytest.approx(
        2e-3 * share, abs=1e-12
    )


def test_sgd_with_momentum_follows_the_formula():
    """One sample, loss |x - m|^2 / 3: gradient g = -2 (x - m) / 3, velocity v = 0.5 v + g, m -= 0.1 v."""
    one = FeatureSet({"x": np.full((1, 3), 3.0, "f4")}, key="one")
    sgd = {"optimizer": "sgd", "betas": (0.5, 0.0), "schedule": "constant", "clip_norm": 0.0}
    model, _ = trained(one, epochs=2, **sgd)
    first = 0.1 * 2 * 3 / 3
    second = first + 0.1 * (0.5 * 2 * 3 / 3 + 2 * (3 - first) / 3)
    torch.testing.assert_close(model.mean.detach(), torch.full((3,), second))


def test_a_killed_sgd_training_goes_on_with_its_momentum(tmp_path):
    file = tmp_path / "checkpoint.safetensors"

    def killed(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(optimizer="sgd", progress=Progress(file, killed, interval=0))
    resumed, _ = trained(optimizer="sgd", progress=Progress(file, interval=0))
    assert torch.equal(resumed.mean, trained(optimizer="sgd")[0].mean)
    assert not torch.equal(resumed.mean, trained(optimizer="sgd", betas=(0.0, 0.0))[0].mean)


@pytest.fixture
def rates(monkeypatch) -> list[float]:
    """Learning rates of the steps that Adam takes, as they come."""
    taken = []
    step = torch.optim.Adam.step

    def watched(self, *args):
        taken.append(self.param_groups[0]["lr"])
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    return taken


@pytest.mark.parametrize("schedule", ["constant", "one_cycle", "cosine"])
def test_the_optimiser_gets_the_schedule_step_by_step(schedule, rates):
    trained(schedule=schedule)
    expected = [_learning_rate(number / 16, settings(schedule=schedule)) for number in range(16)]
    assert rates == pytest.approx(expected)


def test_training_brings_the_loss_down_and_finds_the_mean():
    model, losses = trained(epochs=60, schedule="cosine")
    assert losses[-1] < 0.5 * losses[0]
    torch.testing.assert_close(model.mean.detach(), DATA.read()["x"].mean(0), rtol=0, atol=0.1)


def test_loss_is_the_mean_over_samples_not_over_steps():
    _, losses = trained(epochs=1, learning_rate=0.0, batch_size=4)  # steps of 4, 4 and 2 samples
    assert losses[0] == pytest.approx(float(DATA.read()["x"].square().mean()), rel=1e-5)


def test_every_epoch_sees_every_sample_once_in_its_own_order():
    seen = []

    class Watching(Mean):
        def loss(self, batch):
            seen.extend(batch["x"][:, 0].tolist())
            return super().loss(batch)

    model = Watching()
    train(model, model.loss, training(DATA), settings())
    epochs = np.array(seen).reshape(4, 10)
    assert all(np.array_equal(np.sort(epoch), np.sort(epochs[0])) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert len(set(epochs[0])) == 10


@pytest.mark.parametrize(("least", "epochs"), [(0, 4), (16, 4), (17, 5), (40, 10)])
def test_few_samples_are_passed_until_the_least_number_of_steps(least, epochs, rates):
    """Ten samples in batches of 3 are 4 steps an epoch; the schedule spans all of them."""
    told = []
    _, losses = trained(min_steps=least, progress=Progress(on_epoch=lambda *what: told.append(what)))
    assert len(losses) == epochs
    assert told[-1][:2] == (epochs, epochs)
    expected = [_learning_rate(number / (4 * epochs), settings()) for number in range(4 * epochs)]
    assert rates == pytest.approx(expected)


def test_seed_decides_the_order():
    assert torch.equal(trained(seed=1)[0].mean, trained(seed=1)[0].mean)
    assert not torch.equal(trained(seed=1)[0].mean, trained(seed=2)[0].mean)


def test_gradients_are_clipped(monkeypatch):
    far = FeatureSet({"x": np.full((10, 3), 1e6, "f4")}, key="far")
    norms = []

    model = Mean()
    step = torch.optim.Adam.step

    def watched(self, *args):
        norms.append(float(model.mean.grad.norm()))
        return step(self, *args)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    train(model, model.loss, training(far), settings(epochs=1))
    clipped, norms[:] = list(norms), []
    train(model, model.loss, training(far), settings(epochs=1, clip_norm=0.0))
    assert max(clipped) <= 1.0 + 1e-5
    assert min(norms) > 1e4


def test_frozen_parameters_stay():
    class Half(Mean):
        def __init__(self):
            super().__init__()
            self.frozen = nn.Parameter(torch.ones(2), requires_grad=False)

    model = Half()
    train(model, model.loss, training(DATA), settings(weight_decay=0.1))
    assert torch.equal(model.frozen, torch.ones(2))
    assert not model.training


def test_each_epoch_is_told():
    told = []
    _, losses = trained(progress=Progress(on_epoch=lambda *what: told.append(what)))
    assert told == [(number + 1, 4, loss) for number, loss in enumerate(losses)]


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_is_told(value):
    model = Mean()
    with pytest.raises(EndlineError) as caught:
        train(model, lambda batch: model.loss(batch) + value, training(DATA), settings())
    assert str(caught.value) == (
        f"The loss is {value} in epoch 1: lower learning_rate (now 0.1), or look for NaN in the raw files."
    )


def test_a_failed_epoch_is_not_kept(tmp_path):
    file, model, count = tmp_path / "checkpoint.safetensors", Mean(), 0

    def loss(batch):
        nonlocal count
        count += 1
        return model.loss(batch) * (math.nan if count > 8 else 1)  # in the third epoch of four steps

    with pytest.raises(EndlineError, match="in epoch 3"):
        train(model, loss, training(DATA, 0, Progress(file, interval=0)), settings())
    resumed, losses = trained(progress=Progress(file, interval=0))
    assert len(losses) == 4
    assert torch.equal(resumed.mean, trained()[0].mean)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"schedule": "linear"}, "There is no schedule 'linear': choose one of constant, one_cycle, cosine"),
        ({"optimizer": "sdg"}, "There is no optimizer 'sdg': choose one of adam, sgd."),
        ({"epochs": 0}, "epochs=0 must be at least 1"),
        ({"batch_size": 0}, "batch_size=0 at least 1"),
        ({"min_steps": -1}, "min_steps=-1 at least 0"),
    ],
)
def test_wrong_settings_are_told(changes, sentence):
    with pytest.raises(EndlineError, match=sentence):
        settings(**changes)


def test_checkpoints_keep_their_distance_but_the_last_is_always_kept(tmp_path):
    progress = Progress(tmp_path / "a.safetensors", interval=3600.0)
    assert not progress.due(last=False)
    assert progress.due(last=True)
    assert Progress(tmp_path / "a.safetensors", interval=0).due(last=False)
    assert not Progress(None, interval=0).due(last=True)


def test_other_data_of_the_same_shape_start_anew(tmp_path):
    file = tmp_path / "checkpoint.safetensors"
    trained(progress=Progress(file))
    other = FeatureSet({"x": DATA.read()["x"].numpy() + 5}, key="other")
    assert torch.equal(trained(other, progress=Progress(file))[0].mean, trained(other)[0].mean)


@pytest.mark.parametrize("optimizer", ["adam", "sgd"])
def test_the_memory_layout_of_parameters_changes_nothing(optimizer):
    maps = FeatureSet({"scale_0": np.random.default_rng(0).standard_normal((8, 3, 6, 6)).astype("f4")}, key="maps")
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 2)).to(memory_format=layout)
        train(
            model,
            lambda batch, model=model: model(batch["scale_0"]).square().mean(),
            training(maps),
            settings(optimizer=optimizer, learning_rate=0.01),
        )
        found.append(torch.cat([parameter.detach().flatten() for parameter in model.parameters()]))
    torch.testing.assert_close(*found)


def test_losses_take_turns_each_with_its_own_part():
    """Two adversaries: as two optimizers in turn, and a killed training goes on in the same way."""
    features = FeatureSet({"x": np.random.default_rng(0).standard_normal((8, 2)).astype("f4")}, key="turns")
    training = Training(features, known_rows(None, 8), seed=0, progress=Progress())
    settings = TrainingSettings(epochs=3, batch_size=4, learning_rate=0.1, schedule="constant")

    def made():
        torch.manual_seed(0)
        return nn.ModuleDict({"one": nn.Linear(2, 2), "two": nn.Linear(2, 1)})

    def losses(model):
        def error(batch):
            return model["two"](model["one"](batch["x"])).square().mean()

        return [lambda batch: -error(batch), lambda batch: error(batch) + model["one"].weight.square().sum()]

    model = made()
    turns = [Turn(loss, model[name]) for loss, name in zip(losses(model), ("two", "one"), strict=True)]
    got = train(model, turns, training, settings)
    by_hand = made()
    optimizers = [
        torch.optim.Adam(by_hand[name].parameters(), 0.1, weight_decay=1e-5, fused=True) for name in ("two", "one")
    ]
    for epoch in range(3):
        order, last = np.random.default_rng([0, epoch]).permutation(8), 0.0
        for batch in features.batches(4, order):
            for loss, optimizer, name in zip(losses(by_hand), optimizers, ("two", "one"), strict=True):
                by_hand.zero_grad()
                value = loss(batch)
                value.backward()
                nn.utils.clip_grad_norm_(by_hand[name].parameters(), 1.0)
                optimizer.step()
            last += value.item() / 2
        assert got[epoch] == pytest.approx(last, rel=1e-5)
    for mine, theirs in zip(model.parameters(), by_hand.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs)
