"""Hidden Markov model: against hmmlearn and loops, Hellinger distances by hand, where the map points."""

import math

import numpy as np
import pytest
import torch
from hmmlearn.hmm import GaussianHMM
from torch.nn.functional import pad

from endline.detectors.cycles.hmm import FLOOR, HMM, HMMConfig, bhattacharyya, hellinger, running_sum
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

STEPS = 62
MEANS = np.array([[0.0, 2.0, 4.0], [3.0, 0.0, -3.0]])  # (signals, phases)


def cycles(count: int, signals: int = 3, seed: int = 0) -> FeatureSet:
    """Three phases of about 20 steps with means of their own; the last of several signals is constant."""
    rng = np.random.default_rng([seed, count])
    valid = np.arange(STEPS) < rng.integers(50, STEPS + 1, count)[:, None]
    phase = np.minimum((np.arange(STEPS) + rng.integers(0, 4, (count, 1))) // 20, 2)
    values = np.full((count, signals, STEPS), 7.0)
    for signal in range(min(signals, 2)):
        values[:, signal] = MEANS[signal, phase] + 0.3 * rng.standard_normal(phase.shape)
    return FeatureSet({"cycle": (values * valid[:, None]).astype("f4"), "valid": valid.astype("f4")}, key="phases")


def fitted(train: FeatureSet, seed: int = 0, **settings) -> HMM:
    detector = HMM(HMMConfig(**{"states": (1, 3), "downsampling": 2, "window": 4, **settings}))
    detector.fit(train, seed=seed, progress=Progress())
    return detector


@pytest.fixture(scope="module")
def trained() -> HMM:
    return fitted(cycles(40))


def test_the_states_are_the_phases(trained):
    assert trained.model.get_buffer("count") == 3
    standard = trained.model.standardise
    found = trained.model.part("mean")[:, :2] / standard.gain[:2] + standard.mean[:2]
    order = found[:, 0].argsort()
    np.testing.assert_allclose(found[order], MEANS.T, atol=0.2)
    transition = trained.model.part("transition")[order][:, order]
    assert (transition.diagonal() > 0.85).all()
    assert (transition > 0).all()
    torch.testing.assert_close(transition.sum(1), torch.ones(3).double())


def test_states_are_filtered_as_by_hmmlearn(trained):
    reference = GaussianHMM(3)
    reference.n_features = 3
    reference.startprob_, reference.transmat_, reference.means_, reference.covars_ = (
        trained.model.part(name).numpy() for name in ("start", "transition", "mean", "variance")
    )
    x, valid = trained.model.prepared(cycles(3, seed=1).read())
    x = x + torch.randn(x.shape, generator=torch.Generator().manual_seed(0))  # so that states are in doubt
    for row, found in enumerate(trained.model.filtered(x, valid).exp()):
        for end in range(1, int(valid[row].sum()) + 1):
            expected = reference.predict_proba(x[row, :, :end].T.numpy())[-1]
            np.testing.assert_allclose(found[end - 1], expected, atol=1e-6)


def test_expectation_maximisation_comes_as_far_as_hmmlearns_own():
    train = cycles(40, seed=2)
    detector = fitted(train, states=(3,))
    x, valid = detector.model.prepared(train.read())
    observed, lengths = x.transpose(1, 2)[valid[:, 0] > 0].numpy(), valid.sum((1, 2)).int().tolist()
    likelihoods = []
    for seed in range(4):
        own = GaussianHMM(3, random_state=seed, n_iter=30).fit(observed, lengths)
        own.covars_ = np.maximum(np.diagonal(own.covars_, axis1=1, axis2=2), FLOOR)
        likelihoods.append(own.score(observed, lengths))
    own.startprob_, own.transmat_, own.means_, own.covars_ = (
        detector.model.part(name).numpy() for name in ("start", "transition", "mean", "variance")
    )
    assert own.score(observed, lengths) == pytest.approx(max(likelihoods), abs=0.01 * len(observed))


@pytest.mark.parametrize(
    ("first", "second", "distance"),
    [
        ((0.0, 1.0), (0.0, 1.0), 0.0),
        ((0.0, 1.0), (2.0, 1.0), math.sqrt(1 - math.exp(-4 / 8))),
        ((0.0, 1.0), (0.0, 9.0), math.sqrt(1 - math.sqrt(2 * 1 * 3 / 10))),
        ((0.0, 1.0), (1e3, 1.0), 1.0),
    ],
)
def test_hellinger_distances_by_hand(first, second, distance):
    found = hellinger(bhattacharyya(*(torch.tensor(value).double() for value in first + second)))
    assert float(found) == pytest.approx(distance)
    x = np.linspace(-30, 30, 20001)
    densities = [np.exp(-((x - m) ** 2) / (2 * v)) / math.sqrt(2 * math.pi * v) for m, v in (first, second)]
    overlap = np.sqrt(densities[0] * densities[1]).sum() * (x[1] - x[0])
    assert float(found) ** 2 == pytest.approx(1 - overlap, abs=1e-6)


def test_running_sums_are_of_the_last_steps():
    x = torch.tensor([[[1.0, 2.0, 4.0, 8.0]]])
    assert running_sum(x, 3).tolist() == [[[1.0, 3.0, 7.0, 14.0]]]


def test_score_and_map_equal_loops(trained):
    batch = cycles(3, seed=1).read()
    scored = trained.score(batch)
    x, valid = trained.model.prepared(batch)
    states = trained.model.filtered(x, valid).argmax(-1)
    for row in range(3):
        each = []
        for step in range(3, int(valid[row].sum())):
            window = x[row, :, step - 3 : step + 1]
            state = int(states[row, step])
            emission = trained.model.part("mean")[state], trained.model.part("variance")[state]
            signals = hellinger(bhattacharyya(*emission, window.mean(1), window.var(1, correction=0).clamp(min=FLOOR)))
            torch.testing.assert_close(scored.map[row, :, 2 * step].double(), signals, atol=1e-3, rtol=0)
            each.append(math.sqrt(1 - float((1 - signals.square()).prod()) ** (1 / 3)))
        assert float(scored.score[row]) == pytest.approx(np.mean(each), abs=1e-5)
    assert scored.map.shape == (3, 3, STEPS)
    assert not scored.map[:, :, :6].any()  # of the first three downsampled steps the window is not full
    steps, mask = trained.step_scores(batch)
    torch.testing.assert_close((steps * mask).sum(1) / mask.sum(1), scored.score)


def test_padding_changes_nothing(trained):
    batch = cycles(5, seed=1).read()
    expected = trained.score(batch).score
    long = {name: pad(array, (0, 10)) for name, array in batch.items()}
    torch.testing.assert_close(trained.score(long).score, expected)
    hidden = {**batch, "cycle": batch["cycle"] + 99 * (1 - batch["valid"][:, None])}
    assert torch.equal(trained.score(hidden).score, expected)


def test_a_cycle_shorter_than_the_window_counts_once(trained):
    batch = {name: array[..., :5] for name, array in cycles(2, seed=1).read().items()}
    assert trained.step_scores(batch)[1].tolist() == [[0, 0, 1]] * 2
    assert trained.score(batch).score.min() > 0


@pytest.mark.parametrize("signal", [0, 2])  # the second is constant in training
def test_the_map_points_at_the_fault(trained, signal, tmp_path):
    batch = cycles(5, seed=1).read()
    faulty = batch["cycle"].clone()
    faulty[:, signal, 30:38] += 5.0
    normal, scored = trained.score(batch), trained.score({**batch, "cycle": faulty})
    assert (scored.score > normal.score).all()
    more = scored.map - normal.map
    assert more[:, signal, 36:38].min() > 0.3
    for heat in more:
        row, step = divmod(int(heat.argmax()), STEPS)
        assert row == signal
        assert 30 <= step < 38 + 6  # windows of 4 downsampled steps end later
    trained.save(tmp_path)
    assert torch.equal(load_detector(tmp_path).score(batch).score, normal.score)


@pytest.mark.parametrize("case", ["one signal", "equal cycles", "two steps", "no step"])
def test_little_data_will_do(case):
    train = cycles(8, signals=1 if case == "one signal" else 3)
    arrays = {name: array.numpy() for name, array in train.read().items()}
    if case == "equal cycles":
        arrays = {name: array[:1].repeat(8, 0) for name, array in arrays.items()}
        arrays["cycle"][..., 3:] = 1.0
    if case in ("two steps", "no step"):
        arrays["valid"][:] = np.arange(STEPS) < (2 if case == "two steps" else 0)
    train = FeatureSet(arrays, key=case)
    detector = fitted(train, states=(3, 7))
    assert detector.score(train.read()).score.isfinite().all()
    assert detector.score(cycles(5, signals=train.shapes["cycle"][0]).read()).score.isfinite().all()


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"states": ()}, "states=(): choose one or more numbers of at least 1."),
        ({"states": (3, 0)}, "states=(3, 0): choose one or more numbers of at least 1."),
        ({"window": 1}, "downsampling=5, iterations=30, window=1: choose at least 1, 1 and 2."),
        ({"downsampling": 0}, "downsampling=0, iterations=30, window=5: choose at least 1, 1 and 2."),
    ],
)
def test_settings_out_of_range_are_told(settings, told):
    with pytest.raises(EndlineError) as caught:
        HMMConfig(**settings)
    assert str(caught.value) == f"hmm has {told}"
