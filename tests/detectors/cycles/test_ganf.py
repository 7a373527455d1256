"""GANF: the density integrates to one, the graph's constraint by hand, resumption, where the map points."""

import math

import numpy as np
import pytest
import torch
from torch.nn.functional import pad

from endline.detectors.cycles.ganf import GANF, GANFConfig, GraphDensity, SignalGraph
from endline.detectors.cycles.signals import DEVIATION_FLOOR
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

STEPS = 43
SMALL = {"hidden": 12, "downsampling": 3, "rise_steps": 5, "epochs": 30, "batch_size": 8, "learning_rate": 1e-2}


def cycles(count: int, signals: int = 3, seed: int = 0) -> FeatureSet:
    """Noise that two signals share, step by step, but for a little; the last of several is constant."""
    rng = np.random.default_rng([seed, count])
    valid = np.arange(STEPS) < rng.integers(32, STEPS + 1, count)[:, None]
    shared = rng.standard_normal((count, 1, -(-STEPS // 3))).repeat(3, -1)[..., :STEPS]
    values = np.repeat(shared, signals, 1) + 0.05 * rng.standard_normal((count, signals, STEPS))
    if signals > 1:
        values[:, -1] = 7.0
    return FeatureSet({"cycle": (values * valid[:, None]).astype("f4"), "valid": valid.astype("f4")}, key="noise")


def fitted(train: FeatureSet, progress: Progress | None = None, **settings) -> GANF:
    detector = GANF(GANFConfig(**{**SMALL, **settings}))
    detector.fit(train, seed=0, progress=progress or Progress())
    return detector


@pytest.fixture(scope="module")
def trained() -> GANF:
    return fitted(cycles(60))


@pytest.mark.parametrize(("clip_norm", "learns"), [(0.0, True), (1.0, False)])
def test_the_density_learns_under_the_largest_penalty_unless_one_norm_clips_all(clip_norm, learns):
    made = fitted(cycles(60), rise_steps=1, clip_norm=clip_norm)
    with torch.no_grad():
        each, valid = made.elements(cycles(60, seed=1).read())
    mean = float((each * valid).sum() / (valid.sum() * 3))  # 3.5 before training; 1.8 and 3.3 after
    assert (mean < 2.5) == learns


def test_densities_on_an_acyclic_graph_integrate_to_one():
    """On a grid of two signals and one step, after two steps that are given; a cycle spoils it."""
    torch.manual_seed(0)
    model = GraphDensity(2, GANFConfig(hidden=8))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)  # at their start the signals hardly depend on each other
    grid = torch.linspace(-25, 25, 401)
    x = torch.stack(torch.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2, 1)
    x = torch.cat([torch.tensor([[[0.3, -1.0], [2.0, 0.1]]]).expand(len(x), 2, 2), x], -1)
    spacing, constant = float(grid[1] - grid[0]), (DEVIATION_FLOOR * math.sqrt(2 * math.pi)) ** 2

    def integral(weights: list[list[float]]) -> float:
        with torch.no_grad():
            model.graph.weights.copy_(torch.tensor(weights))
            return float((-model(x)[..., -1].sum(1)).exp().sum()) * spacing**2 / constant

    assert integral([[5.0, 3.0], [0.0, 5.0]]) == pytest.approx(1, abs=1e-3)
    assert integral([[5.0, 0.0], [-3.0, 5.0]]) == pytest.approx(1, abs=1e-3)
    assert integral([[5.0, 3.0], [-3.0, 5.0]]) != pytest.approx(1, abs=1e-2)


def test_cyclicity_by_hand():
    graph = SignalGraph(2, 1)
    with torch.no_grad():
        graph.weights.copy_(torch.tensor([[9.0, 1.5], [-0.5, 9.0]]))  # a signal's weight on itself does not count
        assert float(graph.cyclicity()) == pytest.approx(2 * math.cosh(1.5 * 0.5) - 2)
        graph.weights[1, 0] = 0
        assert float(graph.cyclicity()) == pytest.approx(0)


def test_the_multipliers_rise_as_in_an_augmented_lagrangian():
    graph = SignalGraph(2, 2)
    seen = []
    for value in (8.0, 1.0, 8.0, 0.8, 8.0, 0.2, 8.0, 1e-5):  # of every two the second counts
        graph.rise(torch.tensor(value).double())
        seen.append((float(graph.multiplier), float(graph.penalty)))
    assert seen[1::2] == [(1, 1), (1, 10), (pytest.approx(3), 10), (pytest.approx(3), 10)]
    assert float(graph.constraint(torch.tensor(0.5))) == pytest.approx(3 * 0.5 + 10 / 2 * 0.25)


def test_training_makes_the_graph_acyclic(trained):
    torch.manual_seed(0)
    start = SignalGraph(3, 1)
    assert trained.model.graph.cyclicity() < 0.05 * start.cyclicity()
    assert trained.model.graph.calls == 30 * 8


def test_a_killed_training_finds_its_multipliers_again(tmp_path):
    def kill(epoch: int, epochs: int, loss: float) -> None:
        if epoch == 4:
            raise KeyboardInterrupt

    train, file = cycles(20), tmp_path / "checkpoint.safetensors"
    whole = fitted(train, epochs=6)
    with pytest.raises(KeyboardInterrupt):
        fitted(train, Progress(file, kill, interval=0), epochs=6)
    resumed = fitted(train, Progress(file, interval=0), epochs=6)
    assert whole.model.graph.multiplier > 0
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, resumed.model.state_dict()[name]), name


def test_a_signal_that_leaves_its_parent_is_found(trained):
    """Each signal alone looks normal; only together they are not."""
    batch = cycles(20, seed=1).read()
    apart = batch["cycle"].clone()
    apart[:, 1] = torch.roll(apart[:, 1], 1, 0) * batch["valid"]
    scored = trained.score({**batch, "cycle": apart})
    assert (scored.score > trained.score(batch).score + 0.5).all()


def test_step_scores_are_of_downsampled_steps_and_their_mean_is_the_score(trained):
    batch = cycles(5, seed=1).read()
    scored = trained.score(batch)
    with torch.no_grad():
        steps, mask = trained.step_scores(batch)
    assert steps.shape == mask.shape == (5, 15)
    torch.testing.assert_close((steps * mask).sum(1) / mask.sum(1), scored.score)
    assert scored.map.min() >= 0
    torch.testing.assert_close(scored.map[:, :, 4].mean(1), steps[:, 1])


def test_padding_changes_nothing(trained):
    batch = cycles(5, seed=1).read()
    expected = trained.score(batch).score
    long = {name: pad(array, (0, 10)) for name, array in batch.items()}
    torch.testing.assert_close(trained.score(long).score, expected)
    hidden = {**batch, "cycle": batch["cycle"] + 99 * (1 - batch["valid"][:, None])}
    assert torch.equal(trained.score(hidden).score, expected)


def test_the_map_points_at_the_fault(trained, tmp_path):
    batch = cycles(5, seed=1).read()
    faulty = batch["cycle"].clone()
    faulty[:, 2, 18:21] += 4.0  # constant in training
    scored = trained.score({**batch, "cycle": faulty})
    assert (scored.score > trained.score(batch).score).all()
    for heat in scored.map:
        row, step = divmod(int(heat.argmax()), STEPS)
        assert row == 2
        assert 18 <= step < 21
    trained.save(tmp_path)
    assert torch.equal(load_detector(tmp_path).score(batch).score, trained.score(batch).score)


def test_a_single_signal_will_do():
    detector = fitted(cycles(8, signals=1), epochs=1, downsampling=1)
    assert detector.score(cycles(5, signals=1).read()).map.shape == (5, 1, STEPS)


@pytest.mark.parametrize("name", ["hidden", "downsampling", "rise_steps"])
def test_settings_out_of_range_are_told(name):
    with pytest.raises(EndlineError) as caught:
        GANFConfig(**{name: 0})
    settings = {"hidden": 32, "downsampling": 5, "rise_steps": 100, name: 0}
    told = ", ".join(f"{key}={value}" for key, value in settings.items())
    assert str(caught.value) == f"ganf has {told}: choose at least 1 of each."
