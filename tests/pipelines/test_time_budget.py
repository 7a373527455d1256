import numpy as np
import pytest

from endline.array_store import ArrayStore, FeatureRecipe
from endline.errors import EndlineError
from endline.pipelines import time_budget
from endline.pipelines.time_budget import TimeBudget


@pytest.mark.parametrize(("budget", "reached"), [(30.0, 10), (15.0, 3)])
def test_a_training_that_would_take_too_long_is_ended_early(monkeypatch, budget, reached):
    """Two fits of ten epochs of a second, the first of which takes no longer: after four it is known."""
    now, epochs = [0.0], []
    monkeypatch.setattr(time_budget.time, "monotonic", lambda: now[0])

    def train(progress) -> None:
        for epoch in range(1, 11):
            now[0] += 1.0
            progress.epoch(epoch, 10, 0.0)
            epochs.append(epoch)

    clock = TimeBudget(budget)
    clock.fits = 2
    if reached < 10:
        with pytest.raises(EndlineError, match=r"its training would take 0\.27 more minutes, and 0\.18 are left"):
            train(clock.progress("whole/0"))
    else:
        train(clock.progress("whole/0"))
    assert epochs[-1] == reached


@pytest.mark.parametrize(("budget", "made"), [(60.0, 10), (15.0, 1)])
def test_arrays_that_would_take_too_long_are_not_made(monkeypatch, tmp_path, budget, made):
    """Ten samples of two seconds each: after the first it is known."""
    now, reached = [0.0], []
    monkeypatch.setattr(time_budget.time, "monotonic", lambda: now[0])

    def batches(parts):
        for sample in range(10):
            now[0] += 2.0
            reached.append(sample)
            yield {"x": np.full((1, 3), sample, np.float32)}

    recipe = TimeBudget(budget).timed(FeatureRecipe({"x": ("x",)}, {"x": "key"}, 10, batches, {}))
    store = ArrayStore(tmp_path)
    if made < 10:
        with pytest.raises(
            EndlineError, match=r"making what it reads would take 0\.3 more minutes, and 0\.22 are left"
        ):
            store.make(recipe)
        assert not store.has("key")
    else:
        assert len(store.make(recipe)) == 10
    assert len(reached) == made
