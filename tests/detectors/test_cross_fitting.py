"""Fitting and scoring of a sample table: who may see which row."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from endline.backbones.pyramids import PyramidSettings
from endline.detectors.base import Detector
from endline.detectors.cross_fitting import FitPlan, fit_detectors, whole_hold_out
from endline.detectors.progress import Progress
from endline.detectors.scored import Scored
from endline.detectors.scoring import detector_rows, fold_scores, score_batches, score_rows, with_scores
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

PARTS = ("fold", "standstill", "unfold")


@dataclass(frozen=True)
class SpyConfig:
    mapped: bool = True


class Spy(Detector[SpyConfig]):
    """Remembers the values that it learned from; scores 1000 x its seed + the value."""

    Config = SpyConfig
    required = ("x",)

    def _build(self, shapes, samples):
        return nn.Linear(1, 1)

    def _learn(self, training):
        self.seen = [int(value) for batch in training.features.batches(4) for value in batch["x"][:, 0]]
        self.seed, self.training = training.seed, training
        training.progress.epoch(1, 2, 0.5)
        return (0.5, 0.25)

    def _score(self, batch):
        value = batch["x"][:, 0]
        return Scored(1000.0 * self.seed + value, value.view(-1, 1, 1).expand(-1, 2, 3) if self.config.mapped else None)


def evidence(items: int = 20, training: int = 12, parts=PARTS) -> tuple[pd.DataFrame, FeatureSet]:
    """Rows whose only feature is their own number."""
    rows = [
        {
            "sample_id": f"{item:02d}.wav#{part}",
            "split": "train" if item < training else "test",
            "part": part,
            "control": part == "standstill",
        }
        for item in range(items)
        for part in parts
    ]
    # Shuffled, so that a mistake between a row's place and its label shows.
    table = pd.DataFrame(rows).sample(frac=1, random_state=1).reset_index(drop=True)
    return table, FeatureSet({"x": np.arange(len(table), dtype="f4")[:, None]}, key="numbers")


def fitted(plan: FitPlan, evidence_=None, seed: int = 7):
    table, features = evidence_ or evidence()
    made: list[Spy] = []

    def new() -> Spy:
        made.append(Spy(SpyConfig()))
        return made[-1]

    results = fit_detectors(table, features, new, plan, seed=seed)
    return table, results, [spy for spy in made if hasattr(spy, "seen")]  # those that were fitted


def scored(table, features, detectors, maps=True):
    """Scores and maps of all rows, in their order."""
    batches = list(score_batches(table, features, detectors, maps=maps))
    order = np.argsort(np.concatenate([batch.rows for batch in batches] or [[]]))
    scores = np.concatenate([batch.scores.mean(1) for batch in batches] or [np.zeros(0)])
    drawn = [batch.maps for batch in batches if batch.maps is not None]
    return scores[order], np.concatenate(drawn)[order] if drawn else None


PLANS = [
    FitPlan(calibration="cross_fit", folds=4, parts="each"),
    FitPlan(calibration="cross_fit", folds=100, parts="each"),
    FitPlan(calibration="hold_out", share=0.25, parts="each"),
    FitPlan(calibration="cross_fit", folds=3, parts="shared"),
    FitPlan(calibration="hold_out", ensemble_size=3, parts="each"),
]


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_no_fit_sees_a_test_row_or_a_control_row(plan):
    table, _, made = fitted(plan)
    assert made
    for spy in made:
        rows = table.loc[spy.seen]
        assert set(rows["split"]) == {"train"}
        assert not rows["control"].any()
        assert len(set(spy.seen)) == len(spy.seen) > 0


@pytest.mark.parametrize("plan", PLANS, ids=str)
def test_a_detector_sees_its_own_part_alone(plan):
    table, results, _ = fitted(plan)
    parts = ("fold", "unfold") if plan.parts == "each" else ("all",)
    folds = {"hold_out": 1}.get(plan.calibration, min(plan.folds, 12))
    members = [f"/{member}" for member in range(plan.ensemble_size)] if plan.ensemble_size > 1 else [""]
    assert sorted(results.detectors) == sorted(
        f"{part}/{fold}{member}" for part in parts for fold in range(folds) for member in members
    )
    for name, spy in results.detectors.items():
        part = name.split("/")[0]
        assert set(table.loc[spy.seen, "part"]) == ({part} if plan.parts == "each" else {"fold", "unfold"})


def test_cross_fit_holds_every_training_item_out_once_from_a_detector_that_never_saw_it():
    table, results, made = fitted(FitPlan(calibration="cross_fit", folds=4))
    training = table[(table["split"] == "train") & ~table["control"]]
    assert sorted(results.held_out["sample_id"]) == sorted(training["sample_id"])
    assert list(results.detectors.values()) == made  # each fold's detectors judge later: none is fitted in vain
    assert len(made) == 4 * 2
    item = table["sample_id"].str.split("#").str[0]
    for first, second in zip(made[::2], made[1::2], strict=True):
        assert set(item[first.seen]) == set(item[second.seen])  # both parts of an item are on one side
        assert len(set(item[first.seen])) == 9
    left_out = [set(item[training.index]) - set(item[spy.seen]) for spy in made[::2]]
    assert sorted(name for names in left_out for name in names) == sorted(set(item[training.index]))


def test_held_out_scores_come_from_the_fold_that_left_the_item_out(monkeypatch):
    table, features = evidence()
    made = []

    class Tattling(Spy):
        def _score(self, batch):
            asked = batch["x"][:, 0]
            seen = torch.isin(asked.long(), torch.tensor(self.seen))
            return Scored(seen.float())  # 1 for what it learned from

    def new():
        made.append(Tattling(SpyConfig()))
        return made[-1]

    for plan in PLANS:
        results = fit_detectors(table, features, new, plan, seed=0)
        assert not results.held_out["score"].any()
        assert results.held_out["score"].notna().all()


def test_hold_out_keeps_a_share_of_the_items_away_with_all_their_parts():
    table, results, made = fitted(FitPlan(calibration="hold_out", share=0.25))
    assert len(made) == 2
    assert results.held_out["sample_id"].str.split("#").str[0].value_counts().tolist() == [2, 2, 2]
    seen = {table.loc[row, "sample_id"] for spy in made for row in spy.seen}
    assert seen.isdisjoint(results.held_out["sample_id"])
    assert len(seen) + len(results.held_out) == 24


def test_held_out_rows_keep_their_columns_and_scores():
    table, results, _ = fitted(FitPlan(calibration="hold_out"))
    merged = results.held_out.merge(table.reset_index(), on="sample_id")
    assert (merged["score"] == 7000 + merged["index"]).all()
    assert set(results.held_out) == {*table.columns, "unit", "fold", "score"}


@pytest.mark.parametrize(("few", "fits"), [(12, 2), (13, 2 * 10)])
def test_auto_cross_fits_where_there_are_few(few, fits):
    _, _, made = fitted(FitPlan(few=few))
    assert len(made) == fits


def test_members_have_their_own_seeds_and_are_averaged():
    table, results, _ = fitted(FitPlan(calibration="hold_out", ensemble_size=3))
    seeds = {name: spy.seed for name, spy in results.detectors.items()}
    assert {seed for name, seed in seeds.items() if name.startswith("fold")} == {7, 1007, 2007}
    _, features = evidence()
    rows = np.flatnonzero((table["part"] == "fold").to_numpy())[:5]
    both = np.sort(np.r_[rows, np.flatnonzero((table["part"] == "unfold").to_numpy())[:5]])
    scores, maps = scored(table.iloc[both], features.take(both), results.detectors)
    np.testing.assert_allclose(scores, 1000 * 1007 + both)
    np.testing.assert_allclose(maps, np.broadcast_to(both[:, None, None], (10, 2, 3)))


def test_rows_of_one_part_alone_are_scored_by_its_detector():
    table, results, _ = fitted(FitPlan(calibration="hold_out"))
    _, features = evidence()
    rows = np.flatnonzero((table["part"] == "unfold").to_numpy())
    results.detectors["unfold/0"].seed = 0
    scores = score_rows(table.iloc[rows], features.take(rows), results.detectors)
    np.testing.assert_allclose(scores, rows[:, None])


def test_many_rows_are_scored_in_their_order():
    table, features = evidence(items=150, training=100)
    _, results, _ = fitted(FitPlan(calibration="hold_out"), (table, features), seed=0)
    rows = np.flatnonzero(~table["control"].to_numpy())
    scores, maps = scored(table.iloc[rows], features.take(rows), results.detectors)
    np.testing.assert_allclose(scores, rows)
    np.testing.assert_allclose(maps[:, 1, 2], rows)


def test_maps_are_none_where_the_method_has_none_or_none_is_wanted():
    table, features = evidence()
    for mapped, wanted in ((False, True), (True, False)):
        results = fit_detectors(table, features, lambda mapped=mapped: Spy(SpyConfig(mapped)), FitPlan(), seed=0)
        rows = np.flatnonzero(~table["control"].to_numpy())
        _, maps = scored(table.iloc[rows], features.take(rows), results.detectors, maps=wanted)
        assert maps is None


def test_each_fold_scores_apart_and_its_members_together():
    table, features = evidence(parts=("whole",))
    plan = FitPlan(calibration="cross_fit", folds=3, ensemble_size=2)
    _, results, _ = fitted(plan, (table, features))
    for name, spy in results.detectors.items():
        spy.seed = int(name.split("/")[1])  # the number of its fold
    scores = score_rows(table, features, results.detectors)
    np.testing.assert_allclose(scores, np.arange(20)[:, None] + [0, 1000, 2000])
    columns = with_scores(table, scores)
    np.testing.assert_allclose(fold_scores(columns), scores)
    np.testing.assert_allclose(columns["score"], np.arange(20) + 1000)
    assert fold_scores(with_scores(table, scores[:, :1])).shape == (20, 1)


def test_the_scores_of_more_than_ten_folds_stand_in_the_folds_order():
    """By their names fold 10 would come before fold 2, and a held-out normal be compared by another's detectors."""
    table, features = evidence(parts=("whole",))
    _, results, _ = fitted(FitPlan(calibration="cross_fit", folds=12), (table, features))
    for name, spy in results.detectors.items():
        spy.seed = int(name.split("/")[1])
    scores = score_rows(table, features, results.detectors)
    np.testing.assert_allclose(scores, np.arange(20)[:, None] + 1000 * np.arange(12))


UNIT_PLANS = [FitPlan(calibration="cross_fit", folds=4), FitPlan(calibration="hold_out", share=0.4)]


@pytest.mark.parametrize("plan", UNIT_PLANS, ids=str)
def test_a_part_is_held_out_with_all_its_pictures(plan):
    table, features = evidence(items=36, training=30, parts=("whole",))
    table["unit"] = "tile" + (table["sample_id"].str[:2].astype(int) // 3).astype(str)
    _, results, made = fitted(plan, (table, features))
    held = results.held_out
    for fold, spy in enumerate(made):
        assert set(table.loc[spy.seen, "unit"]).isdisjoint(held.loc[held["fold"] == fold, "unit"])
    assert set(held.groupby("unit").size()) == {3}
    assert held["unit"].nunique() == (10 if plan.calibration == "cross_fit" else 4)


def test_few_counts_parts_and_not_their_pictures():
    table, features = evidence(items=36, training=30, parts=("whole",))
    table["unit"] = "tile" + (table["sample_id"].str[:2].astype(int) // 3).astype(str)
    assert len(fitted(FitPlan(few=11), (table, features))[2]) == 10
    assert len(fitted(FitPlan(few=10), (table, features))[2]) == 1


@pytest.mark.parametrize("plan", UNIT_PLANS, ids=str)
def test_every_domain_is_held_out_in_its_proportion(plan):
    table, features = evidence(items=30, training=30, parts=("whole",))
    table["domain"] = np.where(table["sample_id"] < "20", "source", "target")
    held = fitted(plan, (table, features))[1].held_out
    shares = held.groupby("fold")["domain"].agg(lambda domains: (domains == "target").mean())
    assert shares.between(0.25, 0.43).all()


@pytest.mark.parametrize(
    ("parts", "share", "rate", "size"),
    [(154, 0.25, 0.05, 39), (120, 0.25, 0.05, 39), (154, 0.05, 0.05, 19), (400, 0.25, 0.1, 99), (100, 0.5, 0.3, 49)],
)
def test_the_number_held_out_wastes_none(parts, share, rate, size):
    assert whole_hold_out(parts, share, rate) == size
    assert (size + 1) * rate == pytest.approx(round((size + 1) * rate))


@pytest.mark.parametrize(("parts", "size"), [(20, 5), (37, 9), (38, 19), (4, 1)])
def test_never_more_than_half_is_held_out_for_the_rate(parts, size):
    assert whole_hold_out(parts, 0.25, 0.05) == size


def test_no_rows_give_no_scores():
    table, features = evidence()
    _, results, _ = fitted(FitPlan())
    scores, maps = scored(table.iloc[:0], features.take(np.arange(0)), results.detectors)
    assert scores.shape == (0,)
    assert maps is None


def test_a_part_that_no_detector_knows_is_told():
    table, features = evidence()
    _, results, _ = fitted(FitPlan())
    with pytest.raises(EndlineError, match="No detector was fitted on part 'standstill', only on fold, unfold"):
        score_rows(table, features, results.detectors)


def test_a_table_without_parts_has_one_detector():
    table, features = evidence(parts=("whole",))
    _, results, _ = fitted(FitPlan(few=1), (table.assign(part=None), features))
    assert list(results.detectors) == ["whole/0"]
    scores = score_rows(table.assign(part=None), features, results.detectors)
    assert len(scores) == 20


def test_history_holds_every_fit():
    _, results, _ = fitted(FitPlan(calibration="cross_fit", folds=2))
    assert results.history.columns.tolist() == ["part", "fold", "member", "epoch", "loss"]
    assert results.history.to_numpy().tolist() == [
        ["fold", 0, 0, 1, 0.5], ["fold", 0, 0, 2, 0.25], ["unfold", 0, 0, 1, 0.5], ["unfold", 0, 0, 2, 0.25],
        ["fold", 1, 0, 1, 0.5], ["fold", 1, 0, 2, 0.25], ["unfold", 1, 0, 1, 0.5], ["unfold", 1, 0, 2, 0.25],
    ]  # fmt: skip
    assert results.seconds > 0


def test_each_fit_has_its_own_progress():
    names: list[str] = []

    def new_progress(name):
        names.append(name)
        return Progress()

    table, features = evidence()
    plan = FitPlan(calibration="cross_fit", folds=2, ensemble_size=2)
    fit_detectors(table, features, lambda: Spy(SpyConfig()), plan, seed=0, new_progress=new_progress)
    assert len(set(names)) == len(names) == 2 * 2 * 2
    assert {name.split("/")[1] for name in names} == {"0", "1"}


def test_the_seed_decides_what_is_held_out():
    held = [set(fitted(FitPlan(calibration="hold_out"), seed=seed)[1].held_out["sample_id"]) for seed in (0, 0, 1, 2)]
    assert held[0] == held[1]
    assert held[0] != held[2] or held[0] != held[3]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"calibration": "none"}, "There is no calibration 'none': choose one of auto, cross_fit, hold_out"),
        ({"folds": 1}, "folds=1 must be at least 2"),
        ({"share": 1.0}, "share=1.0 between 0 and 1"),
        ({"share": 0.0}, "share=0.0 between 0 and 1"),
        ({"ensemble_size": 0}, "ensemble_size=0 at least 1: correct the calibration"),
    ],
)
def test_wrong_plans_are_told(options, sentence):
    with pytest.raises(EndlineError, match=sentence):
        FitPlan(**options)


def test_joint_items_show_their_parts_one_below_the_other_in_the_order_of_the_items():
    maps = np.arange(8.0, dtype=np.float32).reshape(4, 1, 1, 2)
    vectors = np.arange(4.0, dtype=np.float32).reshape(4, 1)
    table = pd.DataFrame({"sample_id": ["b#fold", "b#unfold", "a#unfold", "a#fold"]})
    table["part"] = table["sample_id"].str.split("#").str[1]
    joined, view = detector_rows(table, FeatureSet({"map": maps, "vector": vectors}), joint=True)
    assert joined["sample_id"].tolist() == ["b", "a"]
    assert joined["part"].tolist() == ["fold+unfold"] * 2
    assert view.shapes == {"map": (1, 2, 2), "vector": (2,)}
    assert view.read()["map"].tolist() == [[[[0, 1], [2, 3]]], [[[6, 7], [4, 5]]]]
    assert view.take([1]).read()["vector"].tolist() == [[3, 2]]


def test_joint_items_with_other_parts_are_refused():
    table = pd.DataFrame({"sample_id": ["a#fold", "a#unfold", "b#fold"], "part": ["fold", "unfold", "fold"]})
    with pytest.raises(EndlineError, match=r"differ in their parts .*parts='each'"):
        detector_rows(table, FeatureSet({"x": np.zeros((3, 1), np.float32)}), joint=True)


def test_joint_plan_fits_one_detector_on_whole_items_and_holds_items_out():
    table, results, made = fitted(FitPlan(calibration="cross_fit", folds=4, parts="joint"))
    assert list(results.detectors) == [f"fold+unfold/{fold}" for fold in range(4)]
    assert len(made) == 4
    training = table[(table["split"] == "train") & ~table["control"]]
    assert sorted(results.held_out["sample_id"]) == sorted(training["sample_id"].str.split("#").str[0].unique())


def test_a_costly_map_is_drawn_once_and_only_where_it_is_wanted(monkeypatch):
    drawn = []

    def costly(self, batch):
        def draw():
            drawn.append(len(batch["x"]))
            return torch.ones(len(batch["x"]), 2, 3)

        return Scored(batch["x"][:, 0], draw)

    table, features = evidence()
    results = fit_detectors(table, features, lambda: Spy(SpyConfig(True)), FitPlan(few=1), seed=0)
    monkeypatch.setattr(Spy, "_score", costly)
    rows = np.flatnonzero(~table["control"].to_numpy())
    score_rows(table.iloc[rows], features.take(rows), results.detectors)
    assert drawn == []
    batches = list(score_batches(table.iloc[rows], features.take(rows), results.detectors))
    assert sum(len(batch.maps) for batch in batches) == len(rows)
    assert sum(drawn) == len(rows)
    assert all(batch.map_seconds > 0 for batch in batches)


def test_maps_of_one_batch_at_a_time_are_in_memory():
    table, features = evidence(items=150, training=100, parts=("whole",))
    _, results, _ = fitted(FitPlan(calibration="hold_out"), (table, features), seed=0)
    batches = score_batches(table, features, results.detectors)
    first = next(batches)
    assert first.rows.tolist() == list(range(64))
    assert first.maps.shape == (64, 2, 3)
    assert [len(batch.rows) for batch in batches] == [64, 22]


def test_a_table_without_control_column_is_fitted():
    table, features = evidence(parts=("whole",))
    _, results, _ = fitted(FitPlan(), (table.drop(columns="control"), features))
    assert len(results.held_out) == 12


class Comparing(Spy):
    """Uses other classes' normals, and the domains of the training rows."""

    uses_outliers = True

    def _learn(self, training):
        self.others = [] if training.outliers is None else training.outliers.read()["x"][:, 0].int().tolist()
        return super()._learn(training)


def with_outliers(parts=PARTS):
    table, features = evidence(parts=parts)
    items = table["sample_id"].str[:2].astype(int)
    table.loc[items >= 17, "split"] = "outlier"
    return table.assign(
        domain=np.where(items % 2, "source", "target"), unit=items.astype(str), label=0, kind=None, mask_path=None
    ), features


@pytest.mark.parametrize("parts", ["each", "shared", "joint"])
def test_outliers_and_rows_reach_a_method_that_uses_them(parts):
    table, features = with_outliers()
    results = fit_detectors(table, features, lambda: Comparing(SpyConfig()), FitPlan(parts=parts, folds=3), seed=0)
    for name, spy in results.detectors.items():
        part = name.split("/")[0]
        chosen = (table["split"] == "outlier") & ~table["control"]
        if parts == "each":
            chosen &= table["part"] == part
        if parts == "joint":
            chosen &= table["part"] == "fold"  # the first value of a joined vector
        assert sorted(spy.others) == np.flatnonzero(chosen).tolist()
        rows = spy.training.rows
        assert len(rows) == len(spy.seen)
        assert {"sample_id", "unit", "domain", "part"} == set(rows)
        assert (rows["domain"] == table.loc[spy.seen, "domain"].to_numpy()).all()
        assert set(table.loc[spy.seen, "split"]) == {"train"}


def test_outliers_stay_away_from_methods_that_do_not_use_them():
    table, features = with_outliers()
    results = fit_detectors(table, features, lambda: Spy(SpyConfig()), FitPlan(), seed=0)
    assert all(spy.training.outliers is None for spy in results.detectors.values())
    assert set(results.held_out["split"]) == {"train"}


def test_the_pyramid_reaches_every_detector():
    table, features = evidence()
    pyramid = PyramidSettings(backbone="efficientnet_lite1")
    results = fit_detectors(table, features, lambda: Spy(SpyConfig()), FitPlan(), seed=0, pyramid=pyramid)
    assert all(spy.pyramid == pyramid for spy in results.detectors.values())


def test_a_training_sample_that_is_not_finite_is_named():
    table, features = evidence(parts=("whole",))
    values = features.read()["x"].numpy()
    values[5] = np.nan
    features = FeatureSet({"x": values}, key="broken")
    sentence = rf"Array 'x' of training sample {table['sample_id'][5]} is not finite"
    table["split"] = "train"
    with pytest.raises(EndlineError, match=sentence):
        fit_detectors(table, features, lambda: Spy(SpyConfig()), FitPlan(calibration="cross_fit"), seed=0)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e39])
def test_a_score_that_is_not_finite_is_an_error_that_names_the_sample(value):
    class Broken(Spy):
        def _score(self, batch):
            scores = batch["x"][:, 0].double()
            return Scored(torch.where(scores == 3, value, scores))

    table, features = evidence(parts=("whole",))
    detector = Broken(SpyConfig())
    detector.fit(features, seed=0, progress=Progress())
    sentence = rf"The score of sample {table['sample_id'][3]} by Broken is (nan|-?inf), which is no verdict: look for"
    with pytest.raises(EndlineError, match=sentence):
        score_rows(table, features, {"whole/0": detector})
