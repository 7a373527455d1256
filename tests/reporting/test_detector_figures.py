"""Figures of how a detector sees samples: what is drawn where, and nothing where nothing is offered."""

import numpy as np
import pandas as pd

from endline.detectors.sound.stack_rows import row_names
from endline.reporting.band_figure import band_figure
from endline.reporting.detector_figures import RANKED, embedding_figure, importance_figure
from endline.reporting.palette import NORMAL


def places(**changes) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"sample_id": [str(n) for n in range(30)], "part": None, "x": rng.normal(size=30)})
    split, domain = ["train"] * 18 + ["test"] * 12, (["source"] * 5 + ["target"]) * 5
    label = pd.array([0] * 18 + [0, 1, None] * 4, "Int8")
    return table.assign(y=rng.normal(size=30), split=split, domain=domain, label=label, embedded="x").assign(**changes)


def test_the_plane_has_training_and_tested_samples_side_by_side():
    figure = embedding_figure(places())
    left, right = figure.axes
    assert (left.get_title("left"), right.get_title("left")) == ("training (18)", "tested (12)")
    assert (left.get_xlim(), left.get_ylim()) == (right.get_xlim(), right.get_ylim())
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == ["source", "target", "normal", "anomalous", "label unknown"]
    drawn = [len(each.get_offsets()) for each in right.collections]
    assert sum(drawn) == 12


def test_samples_without_domain_and_several_parts_are_drawn_too():
    figure = embedding_figure(places(domain=None, part=["fold", "unfold"] * 15))
    assert [axis.get_title("left") for axis in figure.axes][::2] == ["fold, training (9)", "unfold, training (9)"]
    assert figure.legends[0].get_texts()[0].get_text() == "no domain"


def importances(flagged: bool = True) -> pd.DataFrame:
    values = np.arange(158) / 158
    given = {"part": "all", "input": row_names(), "passed": np.zeros(158), "flagged": values if flagged else np.nan}
    return pd.DataFrame(given).assign(rank=np.arange(158, 0, -1))


def test_inputs_are_named_by_rank_and_groups():
    profile, ranking = importance_figure(importances()).axes
    names = [label.get_text() for label in ranking.get_yticklabels()]
    assert len(names) == RANKED
    assert names[-1] == "zero_crossings"
    assert [label.get_text() for label in profile.get_xticklabels()] == [
        "log_mel", "chroma", "contrast", "tonnetz", "other"
    ]  # fmt: skip
    assert [text.get_text() for text in profile.get_legend().get_texts()] == ["passed", "flagged"]


def test_without_flagged_samples_only_the_passed_are_drawn():
    profile, _ = importance_figure(importances(flagged=False)).axes
    assert [text.get_text() for text in profile.get_legend().get_texts()] == ["passed"]
    assert profile.lines[0].get_color() == NORMAL


def test_the_band_that_counts_most_is_named_where_it_lies():
    shares = np.full(10, 0.05)
    shares[3] = 0.55
    (axis,) = band_figure(shares, {0.5: "1"}, "3 kHz, 0.3 s", x_label="frequency").axes
    (words,) = axis.texts
    assert words.get_text() == "3 kHz, 0.3 s"
    assert words.get_position()[0] == 0.35
    assert axis.get_ylim()[1] > 55


def test_where_nothing_is_offered_nothing_is_drawn():
    assert embedding_figure(places()[:0]) is None
    assert importance_figure(importances()[:0]) is None
