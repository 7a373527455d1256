"""Durations beyond those of training: hardly any good cycle, and every rest of one."""

import numpy as np
import pandas as pd
import pytest

from endline.evidence.cycles.durations import Durations, warn_of_pauses
from endline.evidence.usual_range import range_share


@pytest.mark.parametrize(
    ("durations", "outside", "within"),
    [
        ((0.95, 1.05), (0.5, 1.3), (0.85, 1.15)),
        ((0.8, 1.2), (0.4, 1.5), (0.6, 1.4)),
        # Normal ones from half to one and a half of the usual: one that stops half way lasts as long as the shortest,
        # which its duration cannot tell; a rest of it is told, where half the range as the margin would tell nothing.
        ((0.5, 1.5), (0.1, 2.1), (0.25, 0.5, 1.9)),
        ((0.5, 2.5), (0.05,), (0.25, 3.0)),
    ],
)
def test_a_rest_of_a_cycle_is_outside_however_much_durations_vary(durations, outside, within):
    known = Durations(*durations)
    assert all(known.beyond(seconds) > 0 for seconds in outside)
    assert not any(known.beyond(seconds) for seconds in within)


def exponential(rng, shape):
    return 1 + rng.exponential(1, shape)


def normal(rng, shape):
    return 1 + 0.2 * rng.standard_normal(shape).clip(-4, 4)


def lognormal(rng, shape):
    return np.exp(0.3 * rng.standard_normal(shape))


def heavy_tailed(rng, shape):
    return 20 + rng.standard_t(3, shape).clip(-19, None)


@pytest.mark.parametrize("durations_of", [exponential, normal, lognormal, heavy_tailed])
@pytest.mark.parametrize("count", [10, 14, 20, 60])
def test_good_cycles_are_flagged_far_below_the_rate_that_so_many_can_promise(durations_of, count):
    """It comes on top of a stated rate of 5 %, or of the smallest that so many cycles can promise."""
    repeats, new = 2000, 20
    drawn = durations_of(np.random.default_rng(count), (repeats, count + new))
    flagged = [
        sum(Durations(row[new:].min(), row[new:].max(), count).beyond(seconds) > 0 for seconds in row[:new]) / new
        for row in drawn
    ]
    error = np.std(flagged) / np.sqrt(repeats)
    assert np.mean(flagged) < 0.2 / (count + 1) + 3 * error
    bare = np.mean([((row[:new] > row[new:].max()) | (row[:new] < row[new:].min())).mean() for row in drawn])
    assert bare > 1.5 / (count + 1)  # what the range alone would flag


@pytest.mark.parametrize("count", [10, 20])
def test_the_chance_of_waiting_times_is_what_the_share_was_chosen_for(count):
    rng = np.random.default_rng(0)
    known, new = rng.exponential(1, (200_000, count)), rng.exponential(1, 200_000)
    low, high = known.min(1), known.max(1)
    assert (new > high + range_share(count) * (high - low)).mean() * (count + 1) == pytest.approx(0.2, abs=0.02)


def test_a_cycle_that_stops_half_way_is_told_by_fourteen():
    seconds = 1 + 0.05 * np.random.default_rng(0).standard_normal(14)
    known = Durations(seconds.min(), seconds.max(), 14)
    assert known.beyond(0.5) > 1
    assert known.beyond(seconds.max() + 0.05) == known.beyond(seconds.min() - 0.05) == 0


@pytest.mark.parametrize(
    ("pause", "step", "unrecorded"),
    [
        (0.01, 0.01, False),
        (0.02, 0.01, False),  # a single step was lost
        (0.05, 0.01, True),
        (0.05, 0.04, False),  # of arrays so coarse that nothing is seen in between anyway
        (0.5, 0.04, True),
    ],
)
def test_a_stretch_that_was_not_recorded_is_outside_where_the_arrays_would_show_it(pause, step, unrecorded):
    assert (Durations(1.0, 1.0, pause=0.01).unrecorded(pause, step) > 0) == unrecorded
    assert Durations(1.0, 1.0).unrecorded(pause, step) == 0  # of models from before pauses were kept


def test_training_cycles_with_something_lost_are_told(caplog):
    rows = {"sample_id": ["a.csv", "b.csv", "c.csv"], "duration": 1.0, "pause": [0.02, 0.021, 0.3]}
    warn_of_pauses(pd.DataFrame(rows), 50.0, 51)
    assert (
        "1 of the 3 training cycles were not recorded for a while, c.csv for 0.3 s; in most it is 0.021" in caplog.text
    )
    caplog.clear()
    warn_of_pauses(pd.DataFrame(rows).iloc[:2], None, 51)
    assert not caplog.text
