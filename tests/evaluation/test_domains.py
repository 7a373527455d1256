"""Figures of DCASE Task 2 by domain: scikit-learn's areas, the years' rules, and what is said where one is missing."""

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from endline.errors import EndlineError
from endline.evaluation import roc_resampling
from endline.evaluation.domains import domain_figures, harmonic_mean
from endline.evaluation.metrics import auroc_intervals
from endline.evaluation.roc_resampling import weighted_area


def table(seed: int, *, count: int = 80, ties: bool = False, sections: int = 1) -> pd.DataFrame:
    """Random scores: anomalies are higher, the target domain too."""
    rng = np.random.default_rng(seed)
    label, domain = rng.integers(0, 2, count), rng.choice(["source", "target"], count)
    score = rng.normal(size=count) + label + 0.7 * (domain == "target")
    return pd.DataFrame(
        {
            "score": np.round(score) if ties else score,
            "label": pd.array(label, "Int8"),
            "domain": domain,
            "group": "valve",
            "section": [f"{number % sections:02d}" for number in range(count)],
            "unit": [f"clip {number}" for number in range(count)],
            "kind": np.where(label == 1, "loose", "normal"),
        }
    )


def value(figures, name):
    return figures.machine[name].value


def areas(rows: pd.DataFrame) -> dict[str, float]:
    """By scikit-learn, rule of 2022 and later."""
    bad = rows["label"] == 1
    of = {name: rows[(rows["domain"] == name) | bad] for name in ("source", "target")}
    found = {f"auc_{name}": roc_auc_score(own["label"].astype(int), own["score"]) for name, own in of.items()}
    return found | {"pauc": roc_auc_score(rows["label"].astype(int), rows["score"], max_fpr=0.1)}


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_areas_and_score_are_those_of_scikit_learn(seed, ties):
    scores = table(seed, ties=ties, sections=2)
    figures = domain_figures(scores, resamples=10)
    expected = {name: areas(rows) for name, rows in scores.groupby("section")}
    every = []
    for section, own in expected.items():
        for name, area in own.items():
            assert figures.by_section[section][name].value == pytest.approx(area, abs=1e-9)
            every.append(area)
    assert value(figures, "official_score") == pytest.approx(len(every) / sum(1 / area for area in every), abs=1e-9)
    for name in ("auc_source", "auc_target", "pauc"):
        mean = 2 / sum(1 / own[name] for own in expected.values())
        assert value(figures, name) == pytest.approx(mean, abs=1e-9)
    assert figures.reason is None


@pytest.mark.parametrize("limit", [0.1, 0.37, 1.0])
@pytest.mark.parametrize("ties", [False, True])
def test_weighted_areas_are_those_of_scikit_learn(limit, ties):
    rng = np.random.default_rng(4)
    bad, weights = rng.random(50) < 0.5, rng.integers(0, 4, (20, 50))
    scores = rng.integers(0, 6, 50).astype(float) if ties else rng.normal(size=50)
    found = weighted_area(scores, bad, weights, limit)
    for area, weight in zip(found, weights, strict=True):
        expected = roc_auc_score(bad, scores, sample_weight=weight, max_fpr=None if limit == 1 else limit)
        assert area == pytest.approx(expected, abs=1e-9)


def test_the_areas_of_one_section_are_those_by_domain():
    scores = table(7)
    by_domain = auroc_intervals(scores).query("by == 'domain'").set_index("name")
    figures = domain_figures(scores)
    for domain in ("source", "target"):
        found = figures.machine[f"auc_{domain}"]
        assert found.value == pytest.approx(by_domain.loc[domain, "auroc"], abs=1e-12)
        assert found.low == pytest.approx(by_domain.loc[domain, "low"], abs=0.02)
        assert found.high == pytest.approx(by_domain.loc[domain, "high"], abs=0.02)
    for name, found in figures.machine.items():
        assert asdict(found) == pytest.approx(asdict(figures.by_section["00"][name]), abs=1e-12)


def test_the_rule_of_2021_compares_within_a_domain():
    scores = table(3)
    expected = []
    for _, own in scores.groupby("domain"):
        label = own["label"].astype(int)
        expected += [roc_auc_score(label, own["score"]), roc_auc_score(label, own["score"], max_fpr=0.1)]
    figures = domain_figures(scores, year=2021, resamples=10)
    assert value(figures, "auc_source") == pytest.approx(expected[0], abs=1e-9)
    assert value(figures, "official_score") == pytest.approx(4 / sum(1 / area for area in expected), abs=1e-9)
    assert value(figures, "pauc") == pytest.approx(areas(scores)["pauc"], abs=1e-9)


def test_the_rule_of_2020_needs_no_domain_and_is_a_plain_mean():
    scores = table(3, sections=2).assign(domain=None)
    expected = []
    for _, own in scores.groupby("section"):
        label = own["label"].astype(int)
        expected += [roc_auc_score(label, own["score"]), roc_auc_score(label, own["score"], max_fpr=0.1)]
    figures = domain_figures(scores, year=2020, resamples=10)
    assert value(figures, "official_score") == pytest.approx(np.mean(expected), abs=1e-9)
    assert figures.machine["auc_source"] is None
    assert figures.reason is None
    assert domain_figures(scores) is None


def test_a_perfect_detector_has_one_and_one_that_is_upside_down_has_zero():
    scores = table(1)
    perfect = domain_figures(scores.assign(score=scores["label"].astype(float)), resamples=10)
    assert perfect.machine["official_score"] == perfect.machine["pauc"]
    assert value(perfect, "official_score") == 1
    reverse = domain_figures(scores.assign(score=-scores["label"].astype(float)), resamples=10)
    assert value(reverse, "auc_source") == value(reverse, "official_score") == 0
    assert harmonic_mean([np.array([0.0, 0.5]), np.array([1.0, 1.0])]).tolist() == [0.0, pytest.approx(2 / 3)]


def test_intervals_hold_what_new_clips_of_the_same_kind_would_show():
    """The interval of the official score is as wide as test sets drawn alike differ, and most hold the truth."""
    truth = value(domain_figures(table(0, count=20_000), resamples=2), "official_score")
    found = [domain_figures(table(seed, count=120), resamples=100).machine["official_score"] for seed in range(1, 61)]
    assert sum(figure.low <= truth <= figure.high for figure in found) >= 52
    width = np.mean([figure.high - figure.low for figure in found])
    assert width == pytest.approx(2 * 1.96 * np.std([figure.value for figure in found]), rel=0.25)


def test_units_are_drawn_whole():
    """Each clip of a unit five times tells nothing new: the interval stays as wide."""
    once = table(5, count=60)
    often = pd.concat([once] * 5, ignore_index=True)
    by_unit, by_clip = (
        domain_figures(scores).machine["official_score"]
        for scores in (often, often.assign(unit=[str(number) for number in range(len(often))]))
    )
    alone = domain_figures(once).machine["official_score"]
    assert (by_unit.low, by_unit.high) == pytest.approx((alone.low, alone.high), abs=1e-9)
    assert by_clip.high - by_clip.low < 0.7 * (alone.high - alone.low)


def test_figures_are_those_of_their_seed_and_memory_is_bounded(monkeypatch):
    scores = table(2)
    assert domain_figures(scores, seed=1, resamples=50) == domain_figures(scores, seed=1, resamples=50)
    assert domain_figures(scores, seed=1, resamples=50) != domain_figures(scores, seed=2, resamples=50)
    monkeypatch.setattr(roc_resampling, "BLOCK", 7 * len(scores))
    blocks = roc_resampling.resampled_weights(["a"] * 80, scores["unit"].to_numpy(str), np.random.default_rng(0), 50)
    assert [len(block) for block in blocks] == [1, *[7] * 7, 1]
    assert domain_figures(scores, resamples=50).machine["pauc"].high <= 1


def test_what_is_missing_is_none_and_said_by_section():
    scores = table(6, sections=2)
    normal, target, first = scores["label"] == 0, scores["domain"] == "target", scores["section"] == "00"
    figures = domain_figures(scores[~(normal & target & first)], resamples=10)
    assert figures.machine["auc_target"] is None
    assert figures.machine["official_score"] is None
    assert figures.machine["auc_source"] is not None
    assert figures.by_section["00"]["auc_target"] is None
    assert figures.by_section["01"]["auc_target"] is not None
    assert figures.reason == "section 00: no labelled normal of the domain target"
    assert domain_figures(scores[normal], resamples=10).reason == (
        "section 00: no labelled anomaly; section 01: no labelled anomaly"
    )
    unlabelled = scores.assign(label=scores["label"].mask(first))
    assert list(domain_figures(unlabelled, resamples=10).by_section) == ["01"]


def test_machines_without_sections_are_named_by_themselves():
    scores = pd.concat([table(1), table(2).assign(group="fan")], ignore_index=True)
    assert list(domain_figures(scores, resamples=10).by_section) == ["fan 00", "valve 00"]
    assert list(domain_figures(scores.drop(columns="section"), resamples=10).by_section) == ["fan", "valve"]
    assert list(domain_figures(table(1).drop(columns="section"), resamples=10).by_section) == ["valve"]


def test_other_domains_and_unknown_labels_have_no_figures():
    assert domain_figures(table(1).assign(domain="bottle")) is None
    assert domain_figures(table(1).assign(label=pd.array([None] * 80, "Int8"))) is None


def test_a_year_before_the_first_is_a_sentence():
    with pytest.raises(EndlineError, match=r"year=2019: DCASE Task 2 has machine sound since 2020; give that year"):
        domain_figures(table(1), year=2019)
