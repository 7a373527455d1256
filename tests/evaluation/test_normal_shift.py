"""Whether tested normal parts are like the held-out ones."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from endline.evaluation.calibration import calibrate
from endline.evaluation.normal_shift import UNLIKELY, normal_shift
from endline.reporting.words import shift_sentence, summary_sentences


def verdicts(held_out: np.ndarray, tested: np.ndarray, pictures: int = 1) -> pd.DataFrame:
    """Verdicts on normal parts, each seen in some equal pictures."""
    table = pd.DataFrame({"sample_id": [f"h{row}" for row in range(len(held_out))], "score": held_out, "part": None})
    new = pd.DataFrame({"score": np.repeat(tested, pictures), "unit": np.repeat(np.arange(len(tested)), pictures)})
    new = new.assign(sample_id=[f"t{row}" for row in range(len(new))], part=None, label=0)
    return calibrate(table, rate=0.05, join="mean").verdicts(new)


def test_is_the_rank_sum_test() -> None:
    rng = np.random.default_rng(0)
    held_out, tested = rng.standard_normal(60), rng.standard_normal(50) + 0.3
    shift = normal_shift(verdicts(held_out, tested), 60)
    expected = stats.mannwhitneyu(tested, held_out, alternative="greater", method="asymptotic", use_continuity=False)
    assert shift is not None
    assert shift.exceeded == pytest.approx(expected.statistic / (60 * 50), abs=1e-12)
    assert shift.p_value == pytest.approx(expected.pvalue, abs=1e-9)


def test_alike_parts_are_hardly_ever_called_shifted() -> None:
    rng = np.random.default_rng(1)
    called = 0
    for _ in range(400):
        shift = normal_shift(verdicts(rng.standard_normal(30), rng.standard_normal(20)), 30)
        assert shift is not None
        called += shift.p_value < UNLIKELY
    assert called <= stats.binom.ppf(0.999, 400, UNLIKELY)


def test_several_pictures_of_a_part_count_once() -> None:
    rng = np.random.default_rng(2)
    held_out, tested = rng.standard_normal(30), rng.standard_normal(8) + 0.5
    many, once = (normal_shift(verdicts(held_out, tested, pictures), 30) for pictures in (50, 1))
    assert many is not None
    assert once is not None
    assert many.p_value == pytest.approx(once.p_value, abs=1e-12)


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"p_value": [0.2], "label": [1], "unit": ["a"]}),
        pd.DataFrame({"p_value": [np.nan], "label": [0], "unit": ["a"]}),
    ],
)
def test_nothing_is_said_without_a_tested_normal(table: pd.DataFrame) -> None:
    assert normal_shift(table, 30) is None


def test_one_part_alone_is_never_called_shifted() -> None:
    shift = normal_shift(pd.DataFrame({"p_value": [1 / 1001], "label": [0], "unit": ["a"]}), 1000)
    assert shift is not None
    assert shift.p_value > UNLIKELY


def test_the_report_names_shift_and_remedy() -> None:
    metrics = {"normal_shift": 0.64, "normal_shift_p_value": 0.003, "n_tested": 4}
    said = shift_sentence(metrics, "photographs")
    assert "not like those that trained" in said
    assert "64\u00a0%" in said
    assert "both kinds" in said
    assert summary_sentences(metrics, "photographs")[-1] == said
    assert not shift_sentence({}, "photographs")


def test_too_many_false_alarms_are_explained_by_a_shift_that_alone_would_not_be_said():
    metrics = {"normal_shift": 0.61, "normal_shift_p_value": 0.014}
    assert not shift_sentence({**metrics, "false_alarm_p_value": 0.3}, "photographs")
    assert "61" in shift_sentence({**metrics, "false_alarm_p_value": 0.013}, "photographs")
    assert not shift_sentence({"normal_shift_p_value": 0.2, "normal_shift": 0.6, "false_alarm_p_value": 0.01}, "x")
