"""The sample table and the rules that split it."""

import numpy as np
import pandas as pd
import pytest

from endline.errors import EndlineError
from endline.samples import DEFAULTS, check_samples, item_of, rejected_table, sample_table
from endline.splits import SplitRule, assign_split, few_shots

PARTS = ("fold", "unfold")


def table(normals: int = 10, faulty: int = 4, unknown: int = 0, group: str = "mirror") -> pd.DataFrame:
    labels = [0] * normals + [1] * faulty + [None] * unknown
    return sample_table(
        {
            "sample_id": f"{group}/data{number:03d}.wav#{part}",
            "path": f"{group}/data{number:03d}.wav",
            "group": group,
            "label": label,
            "kind": {0: "normal", 1: "7", None: None}[label],
            "part": part,
        }
        for number, label in enumerate(labels)
        for part in PARTS
    )


def training(samples: pd.DataFrame) -> set[str]:
    return set(samples.loc[samples["split"] == "train", "path"])


def test_a_good_table_passes_unchanged():
    samples = table(unknown=1)
    pd.testing.assert_frame_equal(check_samples(samples), samples)


@pytest.mark.parametrize(
    ("column", "value", "told"),
    [
        ("split", "validation", "split"),
        ("label", 2, "label"),
        ("sample_id", "mirror/data001.wav#fold", "sample_id"),
        ("simulated", "yes", "simulated"),
        ("unit", None, "unit"),
        ("path", None, "path"),
    ],
)
def test_a_broken_column_is_named(column, value, told):
    samples = table()
    samples[column] = samples[column].astype(object)
    samples.loc[0, column] = value
    if column == "label":
        samples = samples.astype({"label": "Int8"})
    with pytest.raises(EndlineError, match=rf"The sample table breaks its contract: .*{told}"):
        check_samples(samples)


@pytest.mark.parametrize("label", [1, None])
def test_faulty_and_unknown_samples_never_train(label):
    samples = table(unknown=1)
    row = samples.index[samples["label"].isna() if label is None else samples["label"] == 1][0]
    samples.loc[row, "split"] = "train"
    with pytest.raises(EndlineError, match="only samples known to be normal are learned from"):
        check_samples(samples)


def test_a_missing_column_is_named():
    with pytest.raises(EndlineError, match="mask_path"):
        check_samples(table().drop(columns="mask_path"))


def test_item_is_the_sample_id_without_its_part():
    ids = pd.DataFrame({"sample_id": ["a/b.wav#fold", "a#1.wav#unfold", "plain.png"], "part": ["fold", "unfold", None]})
    assert item_of(ids).tolist() == ["a/b.wav", "a#1.wav", "plain.png"]


def test_a_number_sign_in_a_file_name_is_no_part():
    names = ["part#1.png", "part#2.png", "part#fold.png", "#1.png"]
    table = sample_table({"sample_id": name, "path": name, "group": "g", "label": 0} for name in names)
    assert item_of(table).tolist() == names
    assert table["unit"].tolist() == names
    assert len(training(assign_split(table, SplitRule(train=4), seed=0))) == 4


def test_items_of_joined_parts_keep_their_number_sign():
    rows = {"sample_id": ["a#1.wav#fold", "a#1.wav", "a#2.wav"], "part": "fold+unfold"}  # as `detector_rows` makes them
    assert item_of(pd.DataFrame(rows)).tolist() == ["a#1.wav", "a#1.wav", "a#2.wav"]


def test_rejected_table_has_its_columns_even_when_empty():
    assert rejected_table([]).columns.tolist() == ["path", "reason", "remedy"]
    assert rejected_table([("a.wav", "it is empty", "record it again")]).loc[0, "remedy"] == "record it again"


@pytest.mark.parametrize(("train", "count"), [(5, 5), (0.5, 5), (0.7, 7), (10, 10), (1.0, 10), (0.34, 3)])
def test_counts_and_shares_of_normals_train(train, count):
    samples = assign_split(table(unknown=2), SplitRule(train=train), seed=0)
    trained = samples[samples["split"] == "train"]
    assert len(training(samples)) == count
    assert set(trained["label"]) == {0}
    assert len(trained) == len(PARTS) * count  # an item trains with all its parts or not at all
    assert (samples.loc[samples["label"].ne(0).fillna(True), "split"] == "test").all()
    check_samples(samples)


def test_the_seed_decides_the_split_and_the_order_of_rows_does_not():
    first = training(assign_split(table(), SplitRule(), seed=0))
    assert training(assign_split(table().iloc[::-1].reset_index(drop=True), SplitRule(), seed=0)) == first
    assert any(training(assign_split(table(), SplitRule(), seed=seed)) != first for seed in range(1, 4))


def test_the_given_table_is_not_changed():
    samples = table()
    assign_split(samples, SplitRule(), seed=0)
    assert set(samples["split"]) == {"test"}


def test_groups_are_split_apart():
    both = pd.concat([table(10, group="left"), table(20, group="right")], ignore_index=True)
    samples = assign_split(both, SplitRule(train=0.5), seed=0)
    assert sorted(len(training(rows)) for _, rows in samples.groupby("group")) == [5, 10]


@pytest.mark.parametrize("shuffle", [0, 1])
def test_folds_are_those_of_the_protocol_mirror42(shuffle):
    samples = table(normals=42, faulty=170).sample(frac=1, random_state=5).reset_index(drop=True)
    names = np.array([f"mirror/data{number:03d}.wav" for number in range(42)])
    folds = np.array_split(np.random.default_rng(shuffle).permutation(names), 6)
    tested = []
    for fold in range(6):
        split = assign_split(samples, SplitRule(folds=6, fold=fold, shuffle=shuffle), seed=99)
        rows = split[split["split"] == "test"]
        normals = set(rows.loc[rows["label"] == 0, "path"])
        assert normals == set(folds[fold])
        assert rows.loc[rows["label"] == 1, "path"].nunique() == 170
        assert len(training(split)) == 35
        tested += sorted(normals)
    assert sorted(tested) == sorted(names)


def test_the_two_shuffles_differ():
    splits = [training(assign_split(table(42), SplitRule(folds=6, shuffle=shuffle), seed=0)) for shuffle in (0, 1)]
    assert splits[0] != splits[1]


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (SplitRule(train=11), r"train=11 asks for 11 of 10 normal items: give a count up to their number, or a share"),
        (SplitRule(train=0), r"train=0 asks for 0 of 10"),
        (SplitRule(train=1.5), r"train=1.5 asks for 15 of 10"),
        (SplitRule(train=-0.5), r"train=-0.5 asks for -5 of 10"),
        (SplitRule(train=2), r"2 normal item\(s\) would train, at least 3 are needed: record more good parts"),
        (SplitRule(folds=1), r"folds=1, fold=0 does not divide 10 normal parts: folds goes from 2"),
        (SplitRule(folds=11), r"folds=11, fold=0 does not divide 10"),
        (SplitRule(folds=5, fold=5), r"folds=5, fold=5 does not divide 10"),
        (SplitRule(folds=5, fold=-1), r"fold=-1 does not divide 10"),
    ],
)
def test_a_rule_that_cannot_be_met_is_told(rule, sentence):
    with pytest.raises(EndlineError, match=sentence):
        assign_split(table(), rule, seed=0)


@pytest.mark.parametrize("unknown", [0, 3])
def test_no_normal_item_is_told(unknown):
    with pytest.raises(EndlineError, match=r"Group 'mirror' has no normal item.*label good ones '0' .*labels\.csv"):
        assign_split(table(normals=0, unknown=unknown), SplitRule(), seed=0)


@pytest.mark.parametrize("train", [1, 0.7, 1.0])
def test_a_single_normal_item_is_told(train):
    with pytest.raises(EndlineError, match=r"1 normal item\(s\) would train, at least 3 are needed"):
        assign_split(table(normals=1), SplitRule(train=train), seed=0)


def test_an_index_gives_what_it_knows_and_the_rest_has_its_default():
    samples = table(normals=2, faulty=0)
    assert set(samples) == set(DEFAULTS)
    assert samples["unit"].tolist() == samples["path"].tolist()
    assert samples["split"].unique().tolist() == ["test"]
    assert samples[["section", "domain", "attributes", "mask_path"]].isna().all(axis=None)
    given = sample_table([{"sample_id": "a", "path": "a", "group": "g", "unit": "part 7"}])
    assert given["unit"].tolist() == ["part 7"]


def test_outliers_must_be_normal_too():
    samples = table().assign(split="outlier")
    with pytest.raises(EndlineError, match="only samples known to be normal are learned from"):
        check_samples(samples)
    check_samples(samples[samples["label"] == 0])


def pictures(normals: int = 12, each: int = 3, faulty: int = 5) -> pd.DataFrame:
    """Tiles with some pictures each, the names of the pictures in another order than those of the tiles."""
    rows = [
        {"sample_id": f"{picture}_{tile:02d}.png", "unit": f"tile{tile:02d}", "label": int(tile >= normals)}
        for tile in range(normals + faulty)
        for picture in range(each)
    ]
    return sample_table({**row, "path": row["sample_id"], "group": "tile", "kind": None} for row in rows)


@pytest.mark.parametrize(("train", "count"), [(18, 18), (19, 21), (0.5, 18), (1, 3), (36, 36), (1.0, 36)])
def test_whole_units_train_until_there_are_as_many_items_or_more(train, count):
    samples = assign_split(pictures(), SplitRule(train=train), seed=1)
    trained = samples[samples["split"] == "train"]
    assert len(trained) == count
    assert set(trained.groupby("unit").size()) == {3}
    assert set(trained["label"]) == {0}
    check_samples(samples)


def test_the_units_are_drawn_as_the_protocol_mtd_tiles_says():
    names = np.array([f"tile{tile:02d}" for tile in range(12)])
    expected = np.random.default_rng(3).permutation(names)[:7]  # 7 x 3 = 21 is the first to reach 20
    samples = assign_split(pictures(), SplitRule(train=20), seed=3)
    assert set(samples.loc[samples["split"] == "train", "unit"]) == set(expected)


@pytest.mark.parametrize("fold", range(4))
def test_folds_divide_units(fold):
    samples = assign_split(pictures(), SplitRule(folds=4, fold=fold), seed=0)
    normal = samples[samples["label"] == 0]
    assert normal.groupby("unit")["split"].nunique().max() == 1
    assert (normal["split"] == "test").sum() == 9


def published(each: int = 3) -> pd.DataFrame:
    """A published split of two categories, whose training tiles have some pictures each."""
    rows = [
        {
            "sample_id": f"{kind}/{tile}_{picture}.png",
            "unit": f"{kind}{tile}",
            "domain": kind,
            "split": split,
            "label": 0,
        }
        for kind in ("cable", "screw")
        for split, tiles in (("train", range(5)), ("test", range(5, 7)))
        for tile in tiles
        for picture in range(each)
    ]
    return sample_table({**row, "path": row["sample_id"], "group": "all", "label": 0} for row in rows)


@pytest.mark.parametrize(
    ("shots", "each", "kept"), [(1, 1, 1), (4, 1, 4), (5, 1, 5), (4, 3, 6), (6, 3, 6), (15, 3, 15)]
)
def test_few_shots_are_whole_units_of_each_category(shots, each, kept):
    everything = published(each)
    samples = few_shots(everything, shots, seed=0)
    training_rows = samples[samples["split"] == "train"]
    assert training_rows.groupby("domain").size().to_dict() == {"cable": kept, "screw": kept}
    assert set(training_rows.groupby("unit").size()) == {each}
    assert (samples["split"] == "test").sum() == (everything["split"] == "test").sum()
    assert samples.index.tolist() == list(range(len(samples)))


def test_few_shots_are_drawn_by_the_seed():
    drawn = [tuple(few_shots(published(1), 3, seed)["path"]) for seed in (0, 0, 1, 2)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 1


@pytest.mark.parametrize("shots", [0, -1, 16])
def test_more_shots_than_training_items_are_told(shots):
    sentence = rf"shots={shots} does not go with the 15 training items of cable: give a number from 1 to theirs"
    with pytest.raises(EndlineError, match=sentence):
        few_shots(published(), shots, seed=0)
