"""The likeness of cycles: copies are found to within rounding, cycles that are alike by nature are not."""

import numpy as np
import pandas as pd
import pytest

from endline.evidence.cycles.index import CycleIndexing, index_cycles
from endline.evidence.cycles.likeness import cycle_look, signal_looks
from endline.evidence.cycles.values import Cycle
from endline.evidence.near_duplicates import near_duplicates

NAMES = ("force", "way", "constant")


def cycle(seed: int) -> Cycle:
    """A course that all share, of which one moment differs, and a little noise."""
    rng = np.random.default_rng(seed)
    steps = int(rng.integers(180, 220))
    times = np.arange(steps) / 100
    force = np.tanh(20 * (times - rng.normal(1, 0.1))) + 0.1 * rng.standard_normal(steps)
    return Cycle(NAMES, times, np.stack([force, times**2 + 0.1 * rng.standard_normal(steps), np.full(steps, 24.0)]))


def rounded(one: Cycle) -> Cycle:
    return Cycle(one.names, one.times, one.values.round(2))


def in_other_units(one: Cycle) -> Cycle:
    return Cycle(one.names, one.times + 7, 25.4 * one.values + 3)


def pairs(training: list[Cycle], tested: list[Cycle]) -> pd.DataFrame:
    looks = [cycle_look(signal_looks(one)) for one in (*training, *tested)]
    split = ["train"] * len(training) + ["test"] * len(tested)
    names = [f"{number}" for number in range(len(looks))]
    table = {"sample_id": names, "group": "g", "part": None, "split": split, "look_hash": looks}
    return near_duplicates(pd.DataFrame(table))


@pytest.mark.parametrize("again", [rounded, in_other_units])
def test_copies_are_found_and_no_other_cycle(again):
    known = [cycle(seed) for seed in range(60)]
    found = pairs(known, [again(known[number]) for number in range(20)] + [cycle(seed) for seed in range(60, 100)])
    assert (found["tested"].astype(int) == 60 + found["training"].astype(int)).all()
    assert sorted(found["training"].astype(int)) == list(range(20))


def test_a_cycle_of_many_signals_has_a_look_of_bounded_length():
    looks = signal_looks(cycle(0))
    assert looks.shape == (3, 64)
    assert np.abs(looks).max() <= 1
    assert not looks[2].any()
    assert len(cycle_look(np.repeat(looks, 50, 0))) == 2 * 150 * 8


def test_the_index_says_how_each_cycle_looks_whatever_the_order_of_its_columns(tmp_path):
    ones = [cycle(seed) for seed in range(3)]
    for number, (one, columns) in enumerate([*zip(ones, [NAMES] * 3, strict=True), (rounded(ones[0]), NAMES[::-1])]):
        table = pd.DataFrame({"time": one.times, **dict(zip(one.names, one.values, strict=True))})
        (tmp_path / "normal").mkdir(exist_ok=True)
        table[["time", *columns]].to_csv(tmp_path / f"normal/{number}.csv", index=False)
    samples = index_cycles(tmp_path, CycleIndexing()).samples.assign(split=["train"] * 3 + ["test"], part=None)
    assert near_duplicates(samples)[["training", "tested"]].to_numpy().tolist() == [["normal/0.csv", "normal/3.csv"]]
