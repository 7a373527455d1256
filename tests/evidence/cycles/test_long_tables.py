"""Tables of many cycles and long recordings: cut at the right rows, labelled by their steps, refused by name."""

import json
import re

import numpy as np
import pandas as pd
import pytest

from endline.array_store import ArrayStore
from endline.errors import EndlineError, FileRejected
from endline.evidence.cycles.features import CyclePreparation
from endline.evidence.cycles.index import CycleIndexing, index_cycles, read_cycles
from endline.evidence.cycles.long_tables import Piece, read_long_table
from endline.evidence.cycles.values import CycleFormat
from endline.evidence.units import with_units
from endline.samples import Index
from endline.splits import divided

PARTS = CycleFormat(time="t [ms]", cycle="part", label="state")
WINDOWS = CycleFormat(time="datetime", window=10, label="anomaly", ignore=("changepoint",), normal=("anomaly-free",))


def many(count: int = 6, steps: int = 20, seed: int = 0, **changes) -> pd.DataFrame:
    """Cycles one below the other, each with a clock of its own; the last two jammed."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "part": np.repeat(np.arange(count) + 100, steps),
            "t [ms]": np.tile(np.arange(steps) * 100, count),
            "force": rng.standard_normal(count * steps),
            "way": np.tile(np.arange(steps) + 0.5, count),
            "state": np.repeat(["ok"] * (count - 2) + ["jam"] * 2, steps),
        }
    )
    return table.assign(**changes)


def recording(seconds: int = 65, seed: int = 0, fault: slice = slice(0, 0), gap: int | None = None) -> pd.DataFrame:
    """A recording at 1 Hz as SKAB writes them; anomalous in `fault`, with a pause of a minute before second `gap`."""
    rng = np.random.default_rng(seed)
    passed = np.arange(seconds) + (60 * (np.arange(seconds) >= gap) if gap else 0)
    anomaly = np.zeros(seconds)
    anomaly[fault] = 1
    return pd.DataFrame(
        {
            "datetime": (pd.Timestamp("2020-03-09 10:00:00") + pd.to_timedelta(passed, "s")).astype(str),
            "flow": rng.standard_normal(seconds) + 5,
            "current": rng.standard_normal(seconds),
            "anomaly": anomaly,
            "changepoint": np.roll(anomaly, 1),
        }
    )


def saved(path, table: pd.DataFrame, sep: str = ","):
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False, sep=sep)
    return path


def found_in(folder, form: CycleFormat, **settings) -> Index:
    return index_cycles(folder, CycleIndexing(form=form, **settings))


# Many cycles in one table


@pytest.mark.parametrize("name", ["shift.csv", "shift.parquet"])
def test_cycles_are_cut_by_their_column_and_labelled_by_another(tmp_path, name):
    saved(tmp_path / name, many())
    found = found_in(tmp_path, PARTS)
    assert found.rejected.empty
    assert found.facts["signals"] == ["force", "way"]
    samples = found.samples
    assert samples["sample_id"].tolist() == [f"{name}/{part}" for part in range(100, 106)]
    assert samples["unit"].tolist() == samples["sample_id"].tolist()
    assert samples["kind"].tolist() == ["normal"] * 4 + ["jam"] * 2
    assert samples["first_row"].tolist() == [0, 20, 40, 60, 80, 100]
    assert samples["duration"].tolist() == pytest.approx([1.9] * 6)
    again = samples.iloc[[4, 1]]
    cycles = list(read_cycles(again, tmp_path, ("way", "force"), PARTS))
    expected = many().groupby("part")["force"].apply(np.array)
    for cycle, part in zip(cycles, (104, 101), strict=True):
        np.testing.assert_allclose(cycle.values, [np.arange(20) + 0.5, expected[part]])
        np.testing.assert_allclose(cycle.times, np.arange(20) / 10)


def test_a_table_without_labels_shows_what_its_folder_says(tmp_path):
    form = CycleFormat(time="t [ms]", cycle="part", ignore=("state",))
    saved(tmp_path / "good/monday.csv", many(seed=1))
    saved(tmp_path / "jam/tuesday.csv", many(3, seed=2))
    assert found_in(tmp_path, form).samples["kind"].tolist() == ["normal"] * 6 + ["jam"] * 3
    labelled = found_in(tmp_path, PARTS)  # a column says more than a folder
    assert labelled.samples["kind"].tolist() == ["normal"] * 4 + ["jam"] * 2 + ["normal"] + ["jam"] * 2


def test_train_and_test_are_kept_and_only_normal_cycles_train(tmp_path):
    saved(tmp_path / "train/a.csv", many(seed=1))
    saved(tmp_path / "test/b.csv", many(seed=2))
    found = found_in(tmp_path, PARTS)
    assert found.published_split
    assert found.samples["split"].tolist() == ["test"] * 6 + ["train"] * 4
    assert found.rejected["path"].tolist() == ["train/a.csv/104", "train/a.csv/105"]
    assert set(found.rejected["reason"]) == {"below train/, but it shows 'jam': nothing learns from it"}


def test_a_cycle_that_cannot_be_used_leaves_the_others(tmp_path):
    table = many(9)
    table.loc[21, "t [ms]"] = 5000
    table.loc[45, "force"] = np.nan
    table.loc[70, "state"] = "jam"
    table.loc[[80, 119], "part"] = [109, 104]
    found = found_in(saved(tmp_path / "shift.csv", table).parent, PARTS)
    reasons = dict(zip(found.rejected["path"], found.rejected["reason"], strict=True))
    assert found.samples["sample_id"].tolist() == [f"shift.csv/{part}" for part in (100, 105, 106, 107, 108)]
    assert re.match("its time goes back at step 2", reasons["shift.csv/101"])
    assert re.match("signal 'force' is not finite at step 5", reasons["shift.csv/102"])
    assert reasons["shift.csv/103"] == "its label 'state' changes within the cycle ('ok' and 'jam')"
    assert reasons["shift.csv/104"] == "its rows lie in 2 places, between those of others"
    assert reasons["shift.csv/109"] == "a cycle of 1 step(s)"


def test_the_same_cycle_twice_is_one(tmp_path):
    saved(tmp_path / "a.csv", many(seed=1))
    saved(tmp_path / "b.csv", many(seed=1).assign(part=lambda table: table["part"] + 50))
    found = found_in(tmp_path, PARTS)
    assert len(found.samples) == 6
    assert found.rejected["reason"].iloc[0] == "the same cycle as a.csv/100"


@pytest.mark.parametrize(
    ("table", "form", "said"),
    [
        (many().drop(columns="part"), PARTS, r"it has no column 'part' \(it has t \[ms\], force, way, state\)"),
        (many().drop(columns="t [ms]"), PARTS, r"it has no column 't \[ms\]'"),
        (many().drop(columns="state"), PARTS, "it has no column 'state', and no folder says what it shows"),
        (many(part=1), PARTS, "holds a single cycle by the column 'part' of shift.csv: name the column that tells"),
        (many(state="nromal"), PARTS, "The column 'state' of .* words that may mean a fault or not: 'nromal'"),
        (many(state="B4"), PARTS, r"no normal cycle to learn from, 'state' has the words 'B4' \(6\)"),
        (many(part=["", *many()["part"][1:]]), PARTS, "row 2 names no cycle in its column 'part'"),
        (recording(8), WINDOWS, "it lasts 7 s, less than a window of 10 s"),
        (recording(30)[::-1], WINDOWS, "its time goes back in row 3"),
    ],
)
def test_tables_that_cannot_be_used_are_sentences(tmp_path, table, form, said):
    saved(tmp_path / "shift.csv", table)
    with pytest.raises(EndlineError, match=said):
        found_in(tmp_path, form)


def test_words_of_labels_are_the_users_own(tmp_path):
    saved(tmp_path / "shift.csv", many(state=np.repeat(["Serie"] * 4 + [7.0, 7], 20)))
    samples = found_in(tmp_path, PARTS, labels={"Serie": "normal"}).samples
    assert samples["kind"].tolist() == ["normal"] * 4 + ["7"] * 2


# Windows of long recordings


def test_a_recording_is_cut_into_windows_that_are_anomalous_when_any_step_is(tmp_path):
    saved(tmp_path / "valve/0.csv", recording(65, fault=slice(24, 31)), sep=";")
    found = found_in(tmp_path, WINDOWS)
    assert found.facts["signals"] == ["flow", "current"]
    names = [f"valve/0.csv/{start} to {start + 10} s" for start in range(0, 60, 10)]
    assert found.samples["sample_id"].tolist() == names
    assert found.samples["label"].tolist() == [0, 0, 1, 1, 0, 0]
    assert found.samples["steps"].tolist() == [10] * 6
    half = CycleFormat(**{**vars(WINDOWS), "share": 0.5})
    assert found_in(tmp_path, half).samples["label"].tolist() == [0, 0, 1, 0, 0, 0]
    cycles = list(read_cycles(found.samples, tmp_path, ("current",), WINDOWS))
    expected = recording(65)["current"].to_numpy()[:60].reshape(6, 10)
    np.testing.assert_allclose([cycle.values[0] for cycle in cycles], expected)


def test_no_window_spans_a_pause(tmp_path, caplog):
    path = saved(tmp_path / "a.csv", recording(65, gap=34))
    pieces = read_long_table(path, WINDOWS).pieces()
    assert [piece.first for piece in pieces] == [0, 10, 20, 34, 44, 54]
    assert pieces[3].name == "94 to 104 s"
    assert "5 of 65 steps fill no window of 10 s (before 1 pause(s), and at the end)" in caplog.text


def test_windows_of_a_few_recordings_are_divided_in_blocks_and_of_many_by_recording(tmp_path):
    form = CycleFormat(**{**vars(WINDOWS), "window": 5})
    saved(tmp_path / "a.csv", recording(600, fault=slice(300, 310)), sep=";")
    samples = found_in(tmp_path, form).samples
    units = samples.loc[samples["label"] == 0, "unit"]
    assert units.nunique() == 30
    assert units.tolist() == sorted(units, key=lambda unit: int(unit.split()[-1]))  # neighbours together
    assert set(samples.loc[samples["label"] == 1, "unit"]) == {"a.csv, not normal"}
    for number in range(5):
        saved(tmp_path / f"{number}.csv", recording(100, number, fault=slice(80, 90)), sep=";")
    (tmp_path / "a.csv").unlink()
    found = found_in(tmp_path, form)
    parts = with_units(found.samples, tmp_path, None)
    assert parts["unit"].tolist() == [
        f"{name.split('/')[0]}{', not normal' * label}"
        for name, label in zip(parts["sample_id"], parts["label"], strict=True)
    ]
    rule = {"train": 0.6, "folds": None, "fold": 0, "shuffle": 0}
    split = divided(Index(parts, found.rejected), rule, 0, "")
    sides = split[split["label"] == 0].groupby("unit")["split"].nunique()
    assert sides.tolist() == [1] * 5


def test_a_recording_without_labels_beside_others_with_them(tmp_path):
    saved(tmp_path / "anomaly-free/0.csv", recording(100).drop(columns=["anomaly", "changepoint"]), sep=";")
    saved(tmp_path / "valve/0.csv", recording(50, 1, fault=slice(20, 50)), sep=";")
    samples = found_in(tmp_path, WINDOWS).samples
    assert samples["label"].tolist() == [0] * 10 + [0, 0, 1, 1, 1]


def test_a_step_that_nobody_labelled_makes_its_window_unknown():
    assert Piece("", 0, 2, ("0", "")).kind({}, 0.0) is None
    assert Piece("", 0, 2, ("1", "")).kind({}, 0.0) == "1"


# Inspection


def preparation(form: CycleFormat, signals: tuple[str, ...]) -> CyclePreparation:
    made = CyclePreparation(signals, 20, 10.0, ("cycle", "valid", "duration"), form)
    assert CyclePreparation.from_plain(json.loads(json.dumps(made.plain()))) == made
    return made


def test_every_cycle_of_a_table_is_inspected_and_a_bad_one_named(tmp_path):
    table = many(3).drop(columns="state")
    table.loc[25, "force"] = np.nan
    path = saved(tmp_path / "new.csv", table)
    made = preparation(PARTS, ("force", "way"))
    found = dict(made.inspect_each(path))
    assert list(found) == [f"{path}/{part}" for part in (100, 101, 102)]
    assert str(found[f"{path}/101"]).startswith(f"{path}/101: signal 'force' is not finite at step 5")
    rows, features = found[f"{path}/102"]
    assert rows["sample_id"].item() == "new.csv/102"
    expected = many(3)["force"].to_numpy("f4")[40:]
    np.testing.assert_allclose(features.read()["cycle"][0, 0], expected)
    assert features.read()["duration"].item() == pytest.approx(1.9)
    with pytest.raises(EndlineError, match=r"is a table of 3 cycles, the first of which is .*100: here one is wanted"):
        made.inspect(path)
    one = saved(tmp_path / "one.csv", many()[:20])
    assert made.inspect(one)[0]["sample_id"].item() == "one.csv/100"


def test_the_arrays_of_a_run_are_those_of_its_cycles(tmp_path):
    saved(tmp_path / "raw/shift.parquet", many())
    samples = found_in(tmp_path / "raw", PARTS).samples
    store = ArrayStore(tmp_path / "store")
    arrays = store.make(preparation(PARTS, ("force",)).recipe(samples, tmp_path / "raw", store)).read()
    np.testing.assert_allclose(arrays["cycle"][:, 0], many()["force"].to_numpy("f4").reshape(6, 20), rtol=1e-6)


# Settings


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"cycle": "part", "window": 10}, "has cycle=part and window=10"),
        ({"window": 0}, "has window=0: give seconds above 0"),
        ({"share": 0.5}, r"has share=0\.5: it is of the steps of a window"),
        ({"window": 5, "share": 1}, "has share=1"),
        ({"label": "state"}, "has label=state: it is a column of tables of many cycles"),
    ],
)
def test_formats_that_do_not_go_together_are_sentences(settings, said):
    with pytest.raises(EndlineError, match=said):
        CycleFormat(**settings)


def test_json_holds_one_cycle_a_file(tmp_path):
    (tmp_path / "a.json").write_text('{"t": [0, 1]}')
    with pytest.raises(FileRejected, match="JSON holds one cycle a file"):
        read_long_table(tmp_path / "a.json", PARTS)
