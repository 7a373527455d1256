"""Detectors compared by synthetic faults: the figures, their errors, and who is taken."""

import numpy as np
import pandas as pd
import pytest

from endline.errors import EndlineError
from endline.evaluation.synthetic_faults import Judgement, decided, judged, leads, standard_error


def copies(clarity: dict[str, float], parts: int = 12, seed: int = 0) -> pd.DataFrame:
    """Scores of copies of `parts` normals; a part's own level is in all of its copies."""
    rng = np.random.default_rng(seed)
    level = rng.standard_normal(parts)
    tables = [
        pd.DataFrame({"unit": [f"part {n}" for n in range(parts)], "kind": kind, "score": level + shift})
        for kind, shift in {"normal": 0.0, **clarity}.items()
    ]
    return pd.concat(tables, ignore_index=True)


def test_a_faulty_copy_is_compared_with_the_normals_of_other_parts_alone():
    table = copies({"dent": 0.5}, parts=7)
    normal, dent = (table[table["kind"] == kind]["score"].to_numpy() for kind in ("normal", "dent"))
    pairs = [(a, b) for a in range(7) for b in range(7) if a != b]
    assert judged([table]).by_kind["dent"] == pytest.approx(np.mean([dent[a] > normal[b] for a, b in pairs]))
    assert (dent > normal).all()  # beside its own original each would show


def test_what_is_left_of_a_judgement_without_a_part_is_that_of_the_others():
    table = copies({"dent": 0.5, "scratch": 1.0}, parts=6)
    whole = judged([table])
    for number in range(6):
        others = table[table["unit"] != f"part {number}"]
        assert whole.without[0][number] == pytest.approx(judged([others]).criterion)
    assert whole.criterion == pytest.approx(np.mean(list(whole.by_kind.values())))


def test_a_part_with_several_items_and_kinds_that_some_lack():
    table = copies({"dent": 3.0, "click": 9.0}, parts=4)
    twice = pd.concat([table, table.assign(score=table["score"] + 0.1)])
    fewer = twice[(twice["kind"] != "click") | twice["unit"].isin(["part 0", "part 1"])]
    assert judged([fewer]).by_kind["click"] == 1.0


def test_the_obviously_better_candidate_is_taken_wherever_it_stands():
    seeing = judged([copies({"dent": 3.0}, seed=0), copies({"dent": 3.0}, seed=1)])
    blind = judged([copies({"dent": 0.0}, seed=0), copies({"dent": 0.0}, seed=1)])
    for order in (("seeing", "blind"), ("blind", "seeing")):
        decision = decided({name: {"seeing": seeing, "blind": blind}[name] for name in order})
        assert decision.chosen == "seeing"
        assert decision.reason == (
            f"seeing tells synthetic faults of held-out good parts best (mean AUROC {seeing.criterion:.3f})."
        )


def test_within_the_standard_error_the_quicker_one_is_taken_and_the_reason_says_so():
    errors = (np.array([0.7, 0.8, 0.9]),)
    quick, slow = Judgement({"a": 0.79}, (0.79,), errors), Judgement({"a": 0.8}, (0.8,), (errors[0][::-1],))
    decision = decided({"quick": quick, "slow": slow})
    assert (decision.chosen, decision.best) == ("quick", "slow")
    assert decision.reason.startswith(
        "slow tells synthetic faults of held-out good parts best (mean AUROC 0.800); quick is taken: it is behind by"
    )
    assert decided({"quick": quick, "slow": slow}, margin=0.005).chosen == "slow"


def test_the_default_is_taken_unless_another_is_ahead_by_more_than_the_error():
    none = (np.zeros(3), np.zeros(3))
    usual, lucky = Judgement({"a": 0.7}, (0.7, 0.7), none), Judgement({"a": 0.8}, (0.95, 0.65), none)
    surely = Judgement({"a": 0.8}, (0.8, 0.8), none)
    assert decided({"lucky": lucky, "usual": usual}).chosen == "lucky"
    decision = decided({"lucky": lucky, "usual": usual}, default="usual")
    assert (decision.chosen, decision.best) == ("usual", "lucky")
    assert decision.reason.endswith(
        "usual is taken: it is behind by 0.100 only (standard error 0.150), and is the default."
    )
    assert decided({"surely": surely, "usual": usual}, default="usual").chosen == "surely"
    assert decided({"lucky": lucky}, default="not judged").chosen == "lucky"


def test_a_lead_that_the_other_division_does_not_show_counts_for_little():
    none = (np.zeros(3), np.zeros(3))
    quick, erratic = Judgement({"a": 0.7}, (0.7, 0.7), none), Judgement({"a": 0.8}, (0.95, 0.65), none)
    steady = Judgement({"a": 0.8}, (0.8, 0.8), none)
    assert standard_error(erratic, quick) == pytest.approx(0.15)
    assert decided({"quick": quick, "erratic": erratic}, margin=1.0).chosen == "quick"
    assert decided({"quick": quick, "steady": steady}, margin=1.0).chosen == "steady"


def test_between_equal_criteria_the_share_of_kinds_and_then_the_stability_tell_the_best():
    one = Judgement({"a": 0.9, "b": 0.8, "c": 0.4}, (0.7, 0.7))
    other = Judgement({"a": 0.8, "b": 0.7, "c": 0.6}, (0.7, 0.7))
    both = {"other": other, "one": one}
    assert leads(one, both) == pytest.approx(2 / 3)
    assert decided(both).best == "one"
    steady = Judgement({"a": 0.7}, (0.7, 0.7), (np.zeros(2),) * 2)
    erratic = Judgement({"a": 0.7}, (0.6, 0.8), (np.zeros(2),) * 2)
    assert decided({"erratic": erratic, "steady": steady}).best == "steady"


@pytest.mark.parametrize("table", [copies({"dent": 1.0}, parts=1), copies({}, parts=5)])
def test_too_few_parts_or_no_fault_is_a_sentence(table):
    with pytest.raises(EndlineError, match=r"held-out part\(s\) are too few to compare detectors: record more good"):
        judged([table])
