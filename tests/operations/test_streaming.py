"""A running cycle: windows, hysteresis, calibration, and who can do it."""

import numpy as np
import pytest
import torch

from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.errors import EndlineError
from endline.feature_set import FeatureSet
from endline.operations.streaming import Hysteresis, StreamScorer, StreamSettings

SETTINGS = {
    "flow": {
        "type": "endline.detectors.cycles.mts_flow.MTSFlow",
        "epochs": 20, "min_hidden": 16, "blocks": 2, "kernel": 5, "batch_size": 8, "learning_rate": 5e-3,
    },
    "hmm": {"type": "endline.detectors.cycles.hmm.HMM", "states": [2], "downsampling": 2, "window": 4},
    "pca": {"type": "endline.detectors.cycles.pca.PCA", "components": 3},
}  # fmt: skip


def cycles(count: int, seed: int, steps: int = 80) -> FeatureSet:
    rng = np.random.default_rng(seed)
    phase = rng.uniform(0, 0.5, (count, 1, 1)) + np.arange(3)[:, None]
    values = np.sin(np.arange(steps) / 5 + phase) + 0.05 * rng.standard_normal((count, 3, steps))
    valid = np.ones((count, steps), "f4")
    return FeatureSet({"cycle": values.astype("f4"), "valid": valid}, key=f"{count} {seed}")


def scorer(name: str = "flow", **settings) -> StreamScorer:
    detector = build_detector(name, SETTINGS)
    detector.fit(cycles(24, 0), seed=0, progress=Progress())
    return StreamScorer({"whole/0": detector}, 3, Hysteresis(np.inf, np.inf), StreamSettings(**settings))


@pytest.fixture(scope="module", params=["flow", "hmm"])
def calibrated(request) -> StreamScorer:
    made = scorer(request.param, window=10, hop=5, context=20, rate=0.1)
    made.hysteresis = made.calibrated(cycles(20, 1))
    return made


def running(seed: int = 7, fault: bool = False) -> np.ndarray:
    values = cycles(1, seed).read()["cycle"].numpy()[0]
    if fault:
        values[1, 40:50] += 2.0
    return values


def test_every_window_is_scored_once_whatever_the_pieces(calibrated):
    values = running()
    whole = list(calibrated.score_stream([values]))
    assert [(v.first, v.last) for v in whole] == [(first, first + 9) for first in range(0, 71, 5)]
    for size in (1, 7, 33):
        pieces = [values[:, start : start + size] for start in range(0, 80, size)]
        found = list(calibrated.score_stream(pieces))
        assert [v.first for v in found] == [v.first for v in whole]
        assert [v.score for v in found] == pytest.approx([v.score for v in whole], rel=1e-5)
    assert all(v.milliseconds > 0 for v in whole)


@pytest.mark.parametrize("size", [1, 7, 83])
def test_the_last_steps_have_a_window_that_ends_with_the_cycle(calibrated, size):
    values = cycles(1, 7, steps=83).read()["cycle"].numpy()[0]
    *before, last = calibrated.score_stream([values[:, start : start + size] for start in range(0, 83, size)])
    assert [v.first for v in before] == list(range(0, 71, 5))
    assert (last.first, last.last) == (73, 82)
    assert last.score == pytest.approx(calibrated._window(values[:, 53:]), rel=1e-5)
    values[:, 80:] += 3.0  # a fault in the last three steps alone
    *_, worse = calibrated.score_stream([values])
    assert worse.score > last.score


def test_a_running_cycle_shorter_than_a_window_is_told(calibrated):
    for pieces in ([], [running()[:, :9]]):
        with pytest.raises(EndlineError, match=r"ended after (0|9) steps, before a window of 10 was complete"):
            list(calibrated.score_stream(pieces))


def test_a_score_that_is_not_finite_is_told():
    class Broken(Loudness):
        def step_scores(self, batch):
            return batch["cycle"][:, 0] * np.inf, batch["valid"]

    made = StreamScorer({"a": Broken()}, 1, Hysteresis(1.0, 0.0), StreamSettings(4, 4, 0))
    with pytest.raises(EndlineError, match="The score of steps 0 to 3 is inf"):
        list(made.score_stream([np.ones((1, 8))]))


def test_steps_between_windows_are_refused():
    with pytest.raises(EndlineError, match="hop=5 is more than window=4: choose a smaller hop or a longer window"):
        StreamSettings(window=4, hop=5)


def test_the_alarm_comes_with_the_fault_and_not_before(calibrated):
    found = list(calibrated.score_stream([running(fault=True)]))
    first = next(v for v in found if v.alarm)
    assert first.last >= 40
    assert first.first <= 55


def test_few_normal_cycles_raise_the_alarm(calibrated):
    alarms = sum(any(v.alarm for v in calibrated.score_stream([running(seed)])) for seed in range(100, 120))
    assert alarms <= 6  # stated are 10 % of 20


def test_the_alarm_stays_until_the_score_is_low():
    limits = Hysteresis(on=3.0, off=1.0)
    alarm, course = False, []
    for score in (0, 2, 3, 3.1, 2, 1.1, 1.0, 2, 4):
        alarm = limits.alarm(score, alarm)
        course.append(alarm)
    assert course == [False, False, False, True, True, True, False, False, True]


def test_too_few_cycles_promise_what_they_can(calibrated):
    few = StreamScorer(dict(zip("a", calibrated.members, strict=True)), 3, calibrated.hysteresis, calibrated.settings)
    held_out = cycles(3, 1)
    largest = [max(v.score for v in few.score_stream([values])) for values in held_out.read()["cycle"].numpy()]
    assert few.calibrated(held_out).on == pytest.approx(max(largest))  # stated are 10 %, kept are 25 %


class Loudness:
    """Each step's value of the first signal as its score."""

    def step_scores(self, batch):
        return batch["cycle"][:, 0], batch["valid"]


@pytest.mark.parametrize(("held_out", "rate", "kept"), [(19, 0.05, 0.05), (19, 0.1, 0.1), (9, 0.05, 0.1)])
def test_the_rate_is_kept_of_cycles_however_many_windows_they_have(held_out, rate, kept):
    """On average over calibrations, as split conformal prediction promises: floor((n + 1) rate) / (n + 1)."""
    rng, alarms = np.random.default_rng(0), []
    made = StreamScorer({"a": Loudness()}, 1, Hysteresis(np.inf, np.inf), StreamSettings(4, 4, 0, rate))
    for _ in range(60):
        drawn = rng.standard_normal((held_out + 5, 1, 16)).astype("f4")
        made.hysteresis = made.calibrated(
            FeatureSet({"cycle": drawn[5:], "valid": np.ones((held_out, 16), "f4")}, key="noise")
        )
        alarms += [any(v.alarm for v in made.score_stream([values])) for values in drawn[:5]]
    assert np.mean(alarms) == pytest.approx(kept, abs=0.04)  # 300 cycles, 60 calibrations


def test_a_cycle_shorter_than_a_window_is_told(calibrated):
    with pytest.raises(EndlineError, match="A held-out cycle of 6 steps is shorter than window=10: choose a shorter"):
        calibrated.calibrated(cycles(3, 1, steps=6))


@pytest.mark.parametrize(
    ("piece", "sentence"),
    [
        (np.zeros((2, 12)), r"has the shape \(2, 12\): give \(3, steps\), one row for each signal"),
        (np.zeros(3), r"has the shape \(3,\)"),
        (np.array([[0.0, 0], [0, np.nan], [0, 0]]), "Signal 1 of the running cycle is nan at step 81: look for"),
        (np.array([[0.0, 0], [0, 0], [np.inf, 0]]), "Signal 2 of the running cycle is inf at step 80"),
    ],
)
def test_a_broken_piece_is_told(calibrated, piece, sentence):
    with pytest.raises(EndlineError, match=sentence):
        list(calibrated.score_stream([running(), piece]))


def test_memory_is_that_of_the_context(calibrated):
    seen = []
    original = calibrated.members[0].step_scores

    class Watching:
        def step_scores(self, batch):
            seen.append(batch["cycle"].shape[-1])
            return original(batch)

    watched = StreamScorer({"a": Watching()}, 3, calibrated.hysteresis, calibrated.settings)
    list(watched.score_stream([running()[:, i : i + 1] for i in range(80)]))
    assert max(seen) == 30


def test_detectors_of_whole_cycles_are_told():
    with pytest.raises(EndlineError, match=r"PCA \(whole/0\) judges whole cycles, not single steps: run the station"):
        scorer("pca")


@pytest.mark.parametrize("wrong", [{"window": 0}, {"hop": 0}, {"context": -1}, {"rate": 1.0}])
def test_wrong_settings_are_told(wrong):
    with pytest.raises(EndlineError, match="correct them"):
        StreamSettings(**wrong)


def test_a_window_is_no_graph():
    found = next(iter(scorer(window=4, hop=4).score_stream([running()])))
    assert isinstance(found.score, float)
    assert torch.is_grad_enabled()
