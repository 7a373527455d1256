"""Cycles: reading, indexing, resampling, arrays; the real fixture of voraus-AD and bad input."""

import json
import os
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endline.array_store import ArrayStore
from endline.errors import EndlineError, FileRejected
from endline.evidence.cycles import robot_files
from endline.evidence.cycles.cycle_files import read_cycle
from endline.evidence.cycles.durations import Durations
from endline.evidence.cycles.features import CyclePreparation, common_length
from endline.evidence.cycles.index import READABLE, CycleIndexing, index_cycles, read_cycles
from endline.evidence.cycles.new_files import new_cycle
from endline.evidence.cycles.resampling import at_rate, common_rate, steps_at, to_steps
from endline.evidence.cycles.robot_files import cycles, segments
from endline.evidence.cycles.values import Cycle, CycleFormat, checked
from endline.robot_signals import CATEGORIES, GROUPS, META, SIGNALS, axis_of, stem

DATA = Path(os.environ.get("ENDLINE_DATA") or Path(__file__).parents[4] / "shared/data")
FIXTURE = DATA / "voraus_fixture" / "voraus-ad-fixture.parquet"
real = pytest.mark.skipif(not FIXTURE.exists(), reason=f"{FIXTURE} is not there")


def write_cycle(path: Path, seed: int = 0, steps: int = 60, rate: float = 100.0, **changes) -> Path:
    rng = np.random.default_rng(seed)
    table = {"time": np.arange(steps) / rate, "force": rng.standard_normal(steps), "way": np.arange(steps) * 1.0}
    path.parent.mkdir(parents=True, exist_ok=True)
    pd.DataFrame({**table, **changes}).to_csv(path, index=False)
    return path


def folder_of(tmp_path: Path, normals: int = 5) -> Path:
    for number in range(normals):
        write_cycle(tmp_path / f"raw/normal/{number}.csv", number, 60 + number)
    write_cycle(tmp_path / "raw/stuck/0.csv", 100)
    return tmp_path / "raw"


def robot_table(samples: dict[int, tuple[int, int]], steps: int = 30, rate: float = 100.0) -> pd.DataFrame:
    """sample -> (category, setting), in the layout of voraus-AD."""
    parts = []
    for sample, (category, setting) in samples.items():
        rng = np.random.default_rng(sample)
        part = pd.DataFrame({name: rng.standard_normal(steps) for name in SIGNALS})
        labels = {"time": np.arange(steps) / rate, "sample": sample, "anomaly": category != 12, "category": category}
        parts.append(part.assign(**labels, setting=setting, action=0, active=0))
    return pd.concat(parts, ignore_index=True)[[*META, *SIGNALS]]


def robot_folder(tmp_path: Path, table: pd.DataFrame, **options) -> Path:
    tmp_path.mkdir(exist_ok=True)
    pq.write_table(pa.Table.from_pandas(table, preserve_index=False), tmp_path / "robot.parquet", **options)
    return tmp_path


NORMALS = dict.fromkeys(range(4), (12, 72))


# The layout


def test_the_130_signals_fall_into_the_published_groups():
    assert len(SIGNALS) == 130
    sizes = {name: len(group) for name, group in GROUPS.items()}
    assert sizes == {"all": 130, "mechanical": 90, "electrical": 40, "measured": 58, "computed": 72}
    assert set(GROUPS["mechanical"]) | set(GROUPS["electrical"]) == set(SIGNALS)
    assert set(GROUPS["measured"]) | set(GROUPS["computed"]) == set(SIGNALS)
    assert (axis_of("motor_iq_3"), stem("motor_iq_3")) == (3, "motor_iq")
    assert (axis_of("robot_voltage"), axis_of("signal_3")) == (None, None)


@real
def test_the_reader_returns_exactly_the_published_columns_order_and_split():
    table = pd.read_parquet(FIXTURE)
    assert table.columns.tolist()[-137:] == [*META, *SIGNALS]
    found = index_cycles(FIXTURE.parent, CycleIndexing())
    assert found.rejected.empty
    assert found.published_split
    assert tuple(found.facts["signals"]) == SIGNALS
    order = table["sample"].unique()
    assert found.samples["sample_id"].tolist() == [f"{FIXTURE.name}/{sample}" for sample in order]
    by_id = found.samples.set_index("sample_id")
    for sample, rows in table.groupby("sample"):
        row = by_id.loc[f"{FIXTURE.name}/{sample}"]
        assert row["split"] == ("train" if rows["setting"].iloc[0] == 72 else "test")
        assert row["kind"] == CATEGORIES[rows["category"].iloc[0]]
        assert row["label"] == rows["anomaly"].iloc[0]
        assert row["steps"] == len(rows)
    for sample, cycle in zip(order, read_cycles(found.samples, FIXTURE.parent, SIGNALS, CycleFormat()), strict=True):
        rows = table[table["sample"] == sample]
        assert np.array_equal(cycle.values, rows[list(SIGNALS)].to_numpy().T)
        assert np.array_equal(cycle.times, rows["time"])


@real
@pytest.mark.parametrize("group", GROUPS)
def test_the_groups_of_the_fixture_are_read_in_order(group):
    found = index_cycles(FIXTURE.parent, CycleIndexing(signals=group))
    assert tuple(found.facts["signals"]) == GROUPS[group]


@real
def test_the_fixture_at_its_own_rate_is_as_it_was_recorded(tmp_path):
    found = index_cycles(FIXTURE.parent, CycleIndexing(rate=100))
    length = common_length(found.samples, 100)
    assert length == 100
    preparation = CyclePreparation(tuple(found.facts["signals"]), length, 100.0)
    store = ArrayStore(tmp_path)
    batch = store.make(preparation.recipe(found.samples, FIXTURE.parent, store)).read()
    table = pd.read_parquet(FIXTURE)
    for number, (_, rows) in enumerate(table.groupby("sample", sort=False)):
        steps = len(rows)
        assert np.array_equal(batch["cycle"][number, :, :steps], rows[list(SIGNALS)].to_numpy("f4").T)
        assert batch["valid"][number].tolist() == [1.0] * steps + [0.0] * (length - steps)
        assert not batch["cycle"][number, :, steps:].any()


def test_pieces_of_any_size_give_the_same_cycles(tmp_path, monkeypatch):
    table = robot_table({1: (12, 72), 5: (0, 3), 2: (12, 73)}, steps=50)
    path = robot_folder(tmp_path, table, row_group_size=64) / "robot.parquet"
    for size in (1, 7, 64, 1000):
        monkeypatch.setattr("endline.evidence.cycles.robot_files.STEPS", size)
        found = list(segments(path, ["motor_iq_2", "robot_voltage"]))
        assert [(one.labels.sample, one.first, one.rows) for one in found] == [(1, 0, 50), (5, 50, 50), (2, 100, 50)]
        assert np.array_equal(found[1].cycle.values, table.loc[50:99, ["motor_iq_2", "robot_voltage"]].to_numpy().T)
        read = list(cycles(path, [(0, 50), (100, 50)], ["motor_iq_2", "robot_voltage"]))
        assert np.array_equal(read[1].values, table.loc[100:, ["motor_iq_2", "robot_voltage"]].to_numpy().T)
        assert len(read) == 2


def test_train_fraction_keeps_a_share_of_the_published_training_cycles(tmp_path):
    table = robot_table({**dict.fromkeys(range(20), (12, 72)), 30: (12, 73), 31: (4, 9)}, steps=4)
    folder = robot_folder(tmp_path, table)
    some = index_cycles(folder, CycleIndexing(train_fraction=0.25, seed=1)).samples
    other = index_cycles(folder, CycleIndexing(train_fraction=0.25, seed=2)).samples
    assert some["split"].value_counts().to_dict() == {"train": 5, "test": 2}
    assert some["sample_id"].tolist() != other["sample_id"].tolist()
    with pytest.raises(EndlineError, match="train_fraction=0 is no share"):
        index_cycles(folder, CycleIndexing(train_fraction=0))


# Bad files of many cycles


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda t: t.drop(columns=["motor_iq_3"]), "lacks 'motor_iq_3'"),
        (lambda t: t.assign(surprise=1.0), "has 'surprise'"),
        (lambda t: t.assign(motor_iq_3="high"), "the column 'motor_iq_3' holds .*string.*: export it as numbers"),
    ],
)
def test_columns_that_are_missing_extra_or_no_numbers(tmp_path, change, told):
    folder = robot_folder(tmp_path, change(robot_table(NORMALS)))
    with pytest.raises(EndlineError, match=told):
        index_cycles(folder, CycleIndexing())


def test_a_parquet_cut_in_the_middle(tmp_path):
    folder = robot_folder(tmp_path, robot_table(NORMALS))
    file = folder / "robot.parquet"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(EndlineError, match=r"robot\.parquet is damaged or cut short .*: copy it again"):
        index_cycles(folder, CycleIndexing(file="robot.parquet"))


def test_broken_cycles_are_rejected_and_the_others_stay(tmp_path):
    table = robot_table({**NORMALS, 10: (12, 73), 11: (12, 73), 12: (12, 73), 13: (99, 1), 14: (12, 73)})
    rows = {sample: table.index[table["sample"] == sample] for sample in table["sample"].unique()}
    table.loc[rows[10][3], "robot_voltage"] = np.nan
    table.loc[rows[11][3], "motor_iq_1"] = np.inf
    table.loc[rows[12], "time"] = table.loc[rows[12], "time"].to_numpy()[::-1]
    table.loc[rows[14], "anomaly"] = True
    found = index_cycles(robot_folder(tmp_path, table), CycleIndexing())
    told = dict(zip(found.rejected["path"].str[-2:], found.rejected["reason"], strict=True))
    assert told["10"] == "signal 'robot_voltage' is not finite at step 3 (1 such values)"
    assert told["11"] == "signal 'motor_iq_1' is not finite at step 3 (1 such values)"
    assert told["12"].startswith("its time goes back at step 1")
    assert told["13"] == "category 99 is not one of 0 to 12"
    assert told["14"].startswith("its labels contradict each other")
    assert len(found.samples) == 4


@pytest.mark.parametrize(
    ("label", "value", "said"),
    [
        ("category", 3, "its label 'category' changes within the cycle (12 and 3)"),
        ("anomaly", True, "its label 'anomaly' changes within the cycle (0 and 1)"),
        ("setting", 73, "its label 'setting' changes within the cycle (72 and 73)"),
    ],
)
def test_labels_that_change_within_a_cycle_are_said(tmp_path, monkeypatch, label, value, said):
    monkeypatch.setattr("endline.evidence.cycles.robot_files.STEPS", 7)  # the change may lie in another piece
    table = robot_table(NORMALS)
    table.loc[table.index[table["sample"] == 2][20:], label] = value
    found = index_cycles(robot_folder(tmp_path, table), CycleIndexing())
    assert found.rejected[["path", "reason"]].to_numpy().tolist() == [["robot.parquet/2", said]]
    assert found.samples["sample_id"].tolist() == [f"robot.parquet/{sample}" for sample in (0, 1, 3)]


def test_a_sample_without_end_is_refused_and_the_others_stay(tmp_path, monkeypatch):
    monkeypatch.setenv("ENDLINE_TABLE_LIMIT", "0.1")  # MB: 97 steps of 131 values
    table = pd.concat([robot_table(NORMALS), robot_table({9: (12, 72)}, steps=200)])
    found = index_cycles(robot_folder(tmp_path, table), CycleIndexing())
    assert len(found.samples) == 4
    assert found.rejected["reason"].iloc[0].endswith("more than the 0.1 MB that one table may")


def test_decimals_in_a_file_of_many_cycles_are_numbers(tmp_path):
    table = robot_table(NORMALS)
    table["robot_voltage"] = [Decimal("1.25")] * len(table)
    folder = robot_folder(tmp_path, table)
    samples = index_cycles(folder, CycleIndexing()).samples
    first = next(read_cycles(samples, folder, ("robot_voltage",), CycleFormat()))
    assert first.values.tolist() == [[1.25] * 30]


def test_a_sample_whose_rows_lie_apart_is_rejected_whole(tmp_path):
    table = robot_table({**NORMALS, 7: (12, 73)})
    apart = pd.concat(
        [table[table["sample"] == 7].head(10), table[table["sample"] < 7], table[table["sample"] == 7][10:]]
    )
    found = index_cycles(robot_folder(tmp_path, apart), CycleIndexing())
    assert found.rejected["reason"].tolist() == ["its rows lie apart, between those of others"]
    assert len(found.samples) == 4


def test_several_files_are_named_and_one_can_be_chosen(tmp_path):
    folder = robot_folder(tmp_path, robot_table(NORMALS))
    (folder / "other.parquet").write_bytes((folder / "robot.parquet").read_bytes())
    with pytest.raises(EndlineError, match=r"holds 2 files of cycles: choose one of other\.parquet, robot\.parquet"):
        index_cycles(folder, CycleIndexing())
    assert len(index_cycles(folder, CycleIndexing(file="other.parquet")).samples) == 4
    with pytest.raises(EndlineError, match=r"holds no file 'third\.parquet'"):
        index_cycles(folder, CycleIndexing(file="third.parquet"))


# Folders of cycles


@pytest.mark.parametrize("suffix", ["csv", "parquet", "json"])
def test_a_cycle_is_the_same_in_every_kind_of_file(tmp_path, suffix):
    table = pd.read_csv(write_cycle(tmp_path / "cycle.csv"))
    path = tmp_path / f"other.{suffix}"
    if suffix == "json":
        path.write_text(json.dumps({name: column.tolist() for name, column in table.items()}))
    else:
        table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    cycle = read_cycle(path, CycleFormat())
    assert cycle.names == ("force", "way")
    assert np.array_equal(cycle.values, table[["force", "way"]].to_numpy().T)
    assert cycle.rate == pytest.approx(100)


def test_signals_by_path_in_json(tmp_path):
    path = tmp_path / "cycle.json"
    content = {"steps": [{"graph": {"time values": [0, 0.1, 0.3], "torque values": [1, 2, 3]}}]}
    path.write_text(json.dumps(content))
    form = CycleFormat("steps[0].graph.time values", {"torque": "steps[0].graph.torque values"})
    assert read_cycle(path, form).values.tolist() == [[1, 2, 3]]
    with pytest.raises(FileRejected, match=r"nothing at .*steps.1.*'1' is not there"):
        read_cycle(path, CycleFormat("steps[1].graph.time values", form.signals))


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"\x00\xff\xfe\x01", "no table of comma-separated values|it has no column 'time'"),
        (b"a,b\n1,2\n", "it has no column 'time'"),
        (b"time,b\n1,x\n2,y\n", "no column of numbers besides the time"),
        (b"time,b\n1,2\n", "a cycle of 1 step"),
        (b"time,b\n0.1,2\n0.2,\n", "signal 'b' is not finite at step 1"),
        (b"time,b\n1,2\n1,3\n2,3\n", "its time stands still at 1 of 3 steps, first at step 1"),
        (b"time,b\n2,2\n1,3\n", "its time goes back at step 1"),
    ],
)
def test_bad_csv_is_told(tmp_path, content, told):
    path = tmp_path / "cycle.csv"
    path.write_bytes(content)
    with pytest.raises(FileRejected, match=told):
        read_cycle(path, CycleFormat())


def test_damaged_json_and_parquet_are_told(tmp_path):
    for name in ("a.json", "a.parquet"):
        (tmp_path / name).write_bytes(b'{"time": [1, 2')
        with pytest.raises(FileRejected, match="damaged or cut short"):
            read_cycle(tmp_path / name, CycleFormat())
    (tmp_path / "b.json").write_text('{"time": [1, 2], "x": [1]}')
    with pytest.raises(FileRejected, match="its lists differ in length"):
        read_cycle(tmp_path / "b.json", CycleFormat())


def test_a_slip_of_the_recorder_is_left_out():
    times = np.arange(200) / 100
    times[50] = times[49]
    cycle = checked(Cycle(("a",), times, np.arange(200.0)[None]))
    assert len(cycle.times) == 199
    assert cycle.values[0, 49:51].tolist() == [49, 51]


def test_a_plain_folder(tmp_path):
    found = index_cycles(folder_of(tmp_path), CycleIndexing(group="press"))
    assert found.samples["kind"].value_counts().to_dict() == {"normal": 5, "stuck": 1}
    assert not found.published_split
    assert found.facts["signals"] == ["force", "way"]
    assert set(found.samples["group"]) == {"press"}


def test_train_and_test_are_a_published_split_without_anomalies_to_train_on(tmp_path):
    for number in range(4):
        write_cycle(tmp_path / f"raw/train/good/{number}.csv", number)
        write_cycle(tmp_path / f"raw/test/loesbar/{number}.csv", 10 + number)
    write_cycle(tmp_path / "raw/train/stuck/0.csv", 20)
    write_cycle(tmp_path / "raw/test/stuck/0.csv", 21)
    found = index_cycles(tmp_path / "raw", CycleIndexing(form=CycleFormat(normal=("loesbar",))))
    assert found.published_split
    counts = found.samples.groupby(["split", "kind"]).size().to_dict()
    assert counts == {("train", "normal"): 4, ("test", "normal"): 4, ("test", "stuck"): 1}


def test_what_is_not_normal_below_train_is_named(tmp_path, caplog):
    for number in range(4):
        write_cycle(tmp_path / f"raw/train/good/{number}.csv", number)
        write_cycle(tmp_path / f"raw/test/good/{number}.csv", 10 + number)
        write_cycle(tmp_path / f"raw/train/stuck/{number}.csv", 20 + number)
    write_cycle(tmp_path / "raw/train/0.csv", 30)
    found = index_cycles(tmp_path / "raw", CycleIndexing())
    remedy = "move it below test/, or below train/normal/"
    unknown = "below train/, but nobody knows what it shows: nothing learns from it"
    stuck = "below train/, but it shows 'stuck': nothing learns from it"
    rows = found.rejected.set_index("path")
    assert rows["reason"].to_dict() == {
        "train/0.csv": unknown,
        **{f"train/stuck/{number}.csv": stuck for number in range(4)},
    }
    assert set(rows["remedy"]) == {remedy}
    assert f"Left out train/0.csv: {unknown}; {remedy}." in caplog.messages
    assert f"Left out train/stuck/0.csv and 3 more: {stuck}; {remedy}." in caplog.messages


def test_missing_extra_and_reordered_signals(tmp_path):
    folder = folder_of(tmp_path)
    pd.DataFrame({"time": [0.0, 0.01], "force": [1.0, 2.0]}).to_csv(folder / "stuck/1.csv", index=False)
    write_cycle(folder / "stuck/2.csv", 3, more=1.0)
    pd.DataFrame({"time": [0, 0.01], "way": [1.0, 2], "force": [1.0, 2]}).to_csv(folder / "stuck/3.csv", index=False)
    told = index_cycles(folder, CycleIndexing()).rejected["reason"].tolist()
    assert told == [
        "it lacks the signal 'way'",
        "it has the signal 'more' that others lack",
    ]


def test_copies_long_cycles_and_mixed_rates(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "normal/copy.csv").write_bytes((folder / "normal/0.csv").read_bytes())
    write_cycle(folder / "normal/long.csv", 50, steps=6000)
    write_cycle(folder / "stuck/long.csv", 51, steps=6000)
    write_cycle(folder / "normal/slow.csv", 52, steps=30, rate=50)
    write_cycle(folder / "normal/fast.csv", 53, steps=240, rate=400)
    found = index_cycles(folder, CycleIndexing())
    told = dict(zip(found.rejected["path"], found.rejected["reason"], strict=True))
    assert told["normal/copy.csv"] == "the same cycle as normal/0.csv"
    assert told["normal/long.csv"].startswith("labelled normal, but it lasts 59.99 s, 99")
    assert told["normal/slow.csv"] == "recorded at 50 Hz, too slowly for 100 Hz"
    assert set(told) == {"normal/copy.csv", "normal/long.csv", "normal/slow.csv"}
    assert "stuck/long.csv" in set(found.samples["path"])  # a hung robot is an anomaly
    assert "normal/slow.csv" in set(index_cycles(folder, CycleIndexing(rate=50)).samples["path"])


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda folder: None, "There is no folder"),
        (lambda folder: folder.mkdir(), "holds no cycle: put normal ones into"),
        (lambda folder: write_cycle(folder / "stuck/0.csv"), "holds no normal cycle to learn from"),
        (lambda folder: (folder / "normal").mkdir(parents=True), "holds no cycle"),
    ],
)
def test_folders_without_normal_cycles(tmp_path, make, told):
    make(tmp_path / "raw")
    with pytest.raises(EndlineError, match=told):
        index_cycles(tmp_path / "raw", CycleIndexing())


def test_unknown_signals_are_told(tmp_path):
    folder = folder_of(tmp_path)
    with pytest.raises(
        EndlineError, match=r"There is no signal 'speed': choose a group \(all\) or a list of force, way"
    ):
        index_cycles(folder, CycleIndexing(signals="speed"))
    assert index_cycles(folder, CycleIndexing(signals=["way"])).facts["signals"] == ["way"]
    assert index_cycles(folder, CycleIndexing(signals="way, force")).facts["signals"] == ["force", "way"]


def test_one_new_cycle(tmp_path):
    path = write_cycle(tmp_path / "new.csv")
    rows, cycle = new_cycle(path, CycleFormat(), ("way",))
    assert rows["label"].isna().all()
    assert cycle.names == ("way",)
    with pytest.raises(
        EndlineError, match=r"new.csv: it lacks the signal 'speed' that the model reads \(it has force, way\)"
    ):
        new_cycle(path, CycleFormat(), ("speed",))
    (tmp_path / "new.txt").write_text("x")
    with pytest.raises(
        EndlineError, match="is none of the files of cycles: export it as csv, tsv, xlsx, json, parquet"
    ):
        new_cycle(tmp_path / "new.txt", CycleFormat(), ("way",))


# Resampling and arrays


def test_the_low_pass_keeps_what_is_slow_and_removes_what_would_fold_back():
    times = np.arange(5000) / 500
    slow, fast = np.sin(2 * np.pi * 2 * times), np.sin(2 * np.pi * 90 * times)
    found = at_rate(times, np.stack([slow, fast, times, np.ones_like(times)]), 50.0)
    new = np.arange(found.shape[1]) / 50
    inside = slice(10, -10)
    assert np.abs(found[0] - np.sin(2 * np.pi * 2 * new))[inside].max() < 0.01
    assert np.abs(found[1][inside]).max() < 0.01  # at 50 Hz it would fold back to 10 Hz
    assert np.abs(found[2] - new).max() < 1e-9  # a ramp stays a ramp, at its ends too
    assert np.abs(found[3] - 1).max() < 1e-9


@pytest.mark.parametrize("rate", [10.0, 33.0, 100.0, 250.0, 500.0])
def test_steps_are_as_announced(rate):
    times = np.arange(1234) / 500
    assert at_rate(times, times[None], rate).shape[1] == steps_at(times[-1], 1234, rate)


def test_uneven_steps_become_even():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.005, 0.015, 400))
    found = to_steps(times, np.stack([times, 3 * times]), 100)
    assert found[0] == pytest.approx(np.linspace(times[0], times[-1], 100), abs=0.01)
    assert to_steps(times, times[None], 2)[0] == pytest.approx([times[0], times[-1]], abs=0.01)


def test_arrays_are_padded_cut_and_masked(tmp_path):
    folder = folder_of(tmp_path)
    samples = index_cycles(folder, CycleIndexing(rate=50)).samples
    samples["split"] = np.where(samples["path"].isin(["normal/0.csv", "normal/1.csv"]), "train", "test")
    assert common_length(samples[samples["split"] == "train"], 50.0) == 31  # of 0.6 s
    preparation = CyclePreparation(("force", "way"), 31, 50.0, ("cycle", "valid", "scale"))
    store = ArrayStore(tmp_path / "store")
    batch = store.make(preparation.recipe(samples, folder, store)).read()
    assert batch["cycle"].shape == (6, 2, 31)
    assert batch["scale_0"].shape == (6, 2, 1, 31)
    assert batch["valid"].sum(1).tolist() == [30, 31, 31, 31, 31, 30]
    assert batch["cycle"][0, 1, :30].tolist() == pytest.approx(np.arange(0, 60, 2), abs=1e-3)
    assert CyclePreparation.from_plain(json.loads(json.dumps(preparation.plain()))) == preparation


@pytest.mark.parametrize("rate", [0.0, -1.0, np.inf, np.nan, "slow"])
def test_rates_that_are_none(tmp_path, rate):
    with pytest.raises(EndlineError, match="is no rate: choose a positive one, auto, or null"):
        index_cycles(folder_of(tmp_path), CycleIndexing(rate=rate))


def test_by_default_cycles_keep_their_own_rate_up_to_50_hz():
    assert common_rate("auto", pd.Series([0.1, 0.1, 47.6])) == 0.1
    assert common_rate("auto", pd.Series([100.0, 99.0])) == 50
    assert common_rate(None, pd.Series([100.0, 98.0])) == 99
    with pytest.raises(EndlineError, match="rate=fast is no rate"):
        common_rate("fast", pd.Series([100.0]))


@pytest.mark.parametrize("rate", [100.0, None])
def test_what_was_not_recorded_inside_a_cycle_counts_as_an_anomaly_and_is_told(tmp_path, caplog, rate):
    known = Durations(1.0, 1.0, 5, pause=0.01)
    preparation = CyclePreparation(("force", "way"), 101, rate, ("cycle", "valid", "outside"), durations=known)
    assert CyclePreparation.from_plain(json.loads(json.dumps(preparation.plain()))) == preparation
    table = pd.read_csv(write_cycle(tmp_path / "new.csv", steps=101))
    for lost, outside in ((0, False), (1, False), (30, True)):
        caplog.clear()
        table.drop(index=range(40, 40 + lost)).to_csv(tmp_path / "new.csv", index=False)
        _, features = preparation.inspect(tmp_path / "new.csv")
        assert features.read()["valid"].sum() == 101  # what is lost is drawn in, and looks as any other
        assert (features.read()["outside"] > 0).tolist() == [[outside]]
        assert ("new.csv was not recorded for 0.31 s, the training cycles for 0.01 s at most" in caplog.text) == outside


def test_a_duration_beyond_training_is_an_array_and_a_sentence(tmp_path, caplog):
    preparation = CyclePreparation(
        ("force", "way"), 101, 100.0, ("cycle", "valid", "outside"), durations=Durations(0.8, 1.0)
    )
    plain = json.loads(json.dumps(preparation.plain()))
    assert CyclePreparation.from_plain(plain) == preparation
    assert CyclePreparation.from_plain({**plain, "durations": [0.8, 1.0]}) == preparation  # as it was once written
    for steps, outside in ((101, 0), (81, 0), (111, 0), (181, 7), (41, 3)):
        caplog.clear()
        _, features = preparation.inspect(write_cycle(tmp_path / "new.csv", steps=steps))
        assert features.read()["outside"].tolist() == [[pytest.approx(outside, abs=1e-5)]]
        said = "that counts as an anomaly by itself" in caplog.text
        assert said == (outside > 0)
    _, features = preparation.inspect(write_cycle(tmp_path / "new.csv", steps=111))
    assert "new.csv is longer than all training cycles: its last 10 steps are not judged" in caplog.text


def robot_preparation(signals: tuple[str, ...]) -> CyclePreparation:
    return CyclePreparation(signals, 30, 100.0, ("cycle", "valid"))


def test_every_cycle_of_a_new_robot_file_is_inspected_and_a_bad_one_named(tmp_path):
    table = robot_table({7: (12, 72), 8: (0, 0), 9: (3, 71)})
    table.loc[35, "robot_voltage"] = np.nan
    path = robot_folder(tmp_path / "new", table) / "robot.parquet"
    signals = ("robot_voltage", SIGNALS[3])
    made = robot_preparation(signals)
    found = dict(made.inspect_each(path))
    assert list(found) == [f"{path}/{sample}" for sample in (7, 8, 9)]
    assert str(found[f"{path}/8"]).startswith(f"{path}/8: signal 'robot_voltage' is not finite at step 5")
    rows, features = found[f"{path}/9"]
    assert rows["sample_id"].item() == "robot.parquet/9"
    assert rows["label"].isna().item()  # whatever the file says of it
    expected = table.loc[60:, list(signals)].to_numpy("f4").T
    np.testing.assert_allclose(features.read()["cycle"][0], expected, rtol=1e-5)
    with pytest.raises(EndlineError, match=r"is a table of 3 cycles, the first of which is .*7: here one is wanted"):
        made.inspect(path)


def test_a_new_robot_file_of_one_cycle_is_inspected_as_a_file(tmp_path):
    path = robot_folder(tmp_path / "new", robot_table({7: (12, 72)})) / "robot.parquet"
    assert robot_preparation(SIGNALS[:2]).inspect(path)[0]["sample_id"].item() == "robot.parquet/7"


def test_rows_of_a_new_robot_file_that_lie_apart_are_told_and_the_rest_is_judged(tmp_path):
    table = robot_table({7: (12, 72), 8: (12, 72)})
    path = robot_folder(tmp_path / "new", pd.concat([table, table[table["sample"] == 7]])) / "robot.parquet"
    *found, (name, last) = robot_preparation(SIGNALS[:2]).inspect_each(path)
    assert [isinstance(each, EndlineError) for _, each in found] == [False, False]
    assert name == f"{path}/7"
    assert "its rows lie apart, between those of others" in str(last)


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (lambda table: table.drop(columns=SIGNALS[5]), "is not in the layout of voraus-AD: it lacks"),
        (lambda table: table.assign(sample=[None, *table["sample"][1:]]), "lacks labels near row 0"),
    ],
)
def test_a_new_robot_file_that_cannot_be_used_is_told(tmp_path, changed, sentence):
    path = robot_folder(tmp_path / "new", changed(robot_table({7: (12, 72)}))) / "robot.parquet"
    with pytest.raises(EndlineError, match=sentence):
        list(robot_preparation(SIGNALS[:2]).inspect_each(path))


def test_a_cycle_of_other_signals_is_no_robot_file_whatever_else_it_holds(tmp_path):
    """An export of one cycle may have columns of such names beside its own signals."""
    steps = 30
    labels = dict.fromkeys(("sample", "anomaly", "category", "setting"), 1)
    table = pd.DataFrame({"time": np.arange(steps) / 100, "force": np.arange(steps) * 1.0, **labels})
    table.to_parquet(tmp_path / "new.parquet")
    rows, features = robot_preparation(("force",)).inspect(tmp_path / "new.parquet")
    assert rows["sample_id"].item() == "new.parquet"
    np.testing.assert_array_equal(features.read()["cycle"][0, 0], np.arange(steps, dtype="f4"))


def test_signals_that_a_robot_file_cannot_have_are_told(tmp_path):
    path = robot_folder(tmp_path / "new", robot_table({7: (12, 72)})) / "robot.parquet"
    with pytest.raises(EndlineError, match="force"):
        list(robot_preparation(("force",)).inspect_each(path))


def test_other_settings_other_key(tmp_path):
    folder = folder_of(tmp_path)
    samples = index_cycles(folder, CycleIndexing()).samples
    settings = [(("way",), 10), (("way",), 11), (("force",), 10)]
    preparations = [CyclePreparation(signals, length, 50.0) for signals, length in settings]
    recipes = [each.recipe(samples, folder, ArrayStore(tmp_path)) for each in preparations]
    assert len({recipe.keys["cycle"] for recipe in recipes}) == 3


@pytest.mark.parametrize("value", [1e20, -1e39, 3.4e38])
def test_a_value_beyond_any_sensor_is_refused_by_name(tmp_path, value):
    folder = folder_of(tmp_path)
    table = pd.read_csv(folder / "normal/0.csv")
    table.loc[7, "force"] = value
    table.to_csv(folder / "normal/0.csv", index=False)
    found = index_cycles(folder, CycleIndexing())
    assert found.rejected["path"].tolist() == ["normal/0.csv"]
    assert found.rejected["reason"].iloc[0] == f"signal 'force' is {value:g} at step 7, beyond any sensor"


def test_a_file_of_many_cycles_is_passed_twice_at_most(tmp_path, monkeypatch):
    table = robot_table({**dict.fromkeys(range(4), (12, 72)), 9: (4, 9)}, steps=30)
    folder, passes = robot_folder(tmp_path, table), []
    opened = robot_files.pq.ParquetFile
    monkeypatch.setattr(
        robot_files.pq, "ParquetFile", lambda *args, **options: passes.append(1) or opened(*args, **options)
    )
    found = index_cycles(folder, CycleIndexing())
    store = ArrayStore(tmp_path / "store")
    preparation = CyclePreparation(tuple(found.facts["signals"]), 30, 100.0)
    assert len(store.make(preparation.recipe(found.samples, folder, store))) == 5
    assert len(passes) == 2


def test_the_digest_of_a_cycle_follows_its_values_alone(tmp_path):
    table = robot_table({1: (12, 72), 2: (12, 72)}, steps=20)
    before = index_cycles(robot_folder(tmp_path / "a", table), CycleIndexing()).samples["digest"].tolist()
    table.loc[3, "motor_iq_2"] += 1
    after = index_cycles(robot_folder(tmp_path / "b", table), CycleIndexing()).samples["digest"].tolist()
    assert before[0] != after[0]
    assert before[1] == after[1]


def test_what_else_lies_in_a_folder_of_cycles_is_a_row(tmp_path):
    folder = folder_of(tmp_path)
    (folder / "normal/folder.csv").mkdir()
    (folder / "normal/lost.csv").symlink_to("nowhere")
    os.mkfifo(folder / "normal/pipe.parquet")
    os.mkfifo(folder / "pipe.parquet")  # must not be opened to see whether it holds many cycles
    for name in ("normal/a.gif", "labels.csv", "units.csv", "simulation.json", "README", ".Trash-0/0.csv"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("x")
    found = index_cycles(folder, CycleIndexing())
    assert found.samples["kind"].value_counts().to_dict() == {"normal": 5, "stuck": 1}
    pipe = ["neither a file nor a folder, but a pipe, socket or device", "take it away"]
    assert found.rejected.to_numpy().tolist() == [
        ["normal/folder.csv", "a folder, named like a file of data", "rename it"],
        ["normal/lost.csv", "a link to something that is not there", "restore what it leads to, or delete the link"],
        ["normal/pipe.parquet", *pipe],
        ["pipe.parquet", *pipe],
        ["labels.csv", "no table of labels is read here", "put the files into one folder a kind, or delete the table"],
        [
            "normal/a.gif",
            "the ending '.gif' is not one that is read here",
            f"export it as {READABLE}, or take it away",
        ],
    ]


def test_files_beside_a_file_of_many_cycles_are_rows(tmp_path):
    folder = robot_folder(tmp_path, robot_table(NORMALS))
    (name,) = (path.name for path in folder.glob("*.parquet"))
    write_cycle(folder / "normal/0.csv")
    (folder / "more.PARQUET").write_bytes((folder / name).read_bytes())
    found = index_cycles(folder, CycleIndexing(file=name))
    assert found.rejected.to_numpy().tolist() == [
        ["normal/0.csv", f"cycles are read from {name} alone here", "put it into a raw folder of its own"]
    ]
    with pytest.raises(EndlineError, match=r"holds 2 files of cycles"):
        index_cycles(folder, CycleIndexing())


@pytest.mark.parametrize("word", ["healthy", "i.O.", "Gut", "0.0"])
def test_folders_of_normal_cycles_in_other_words(tmp_path, word):
    folder = folder_of(tmp_path)
    (folder / "normal").rename(folder / word)
    assert index_cycles(folder, CycleIndexing()).samples["label"].tolist().count(0) == 5


@pytest.mark.parametrize("name", ["normal_test", "Test", "line_3/normal"])
def test_doubtful_folders_of_cycles_are_told_and_can_be_mapped(tmp_path, name):
    folder = folder_of(tmp_path)
    write_cycle(folder / name / "0.csv", 30)
    with pytest.raises(EndlineError) as caught:
        index_cycles(folder, CycleIndexing())
    assert str(caught.value).startswith(
        f"{folder}, by the names of its folders, labels with words that may mean a fault or not: '{name}' (1). Say what"
    )
    kinds = index_cycles(folder, CycleIndexing(labels={name: "normal"})).samples.set_index("path")["kind"]
    assert kinds[f"{name}/0.csv"] == "normal"


def test_cycles_in_linked_folders_are_read(tmp_path):
    folder, elsewhere = folder_of(tmp_path), tmp_path / "elsewhere"
    write_cycle(elsewhere / "0.csv", 40)
    (folder / "loose").symlink_to(elsewhere)
    found = index_cycles(folder, CycleIndexing())
    assert found.samples.set_index("path")["kind"]["loose/0.csv"] == "loose"
    assert found.rejected.empty


def test_a_cycle_whose_name_is_no_utf8_is_a_row_that_parquet_holds(tmp_path):
    folder = folder_of(tmp_path)
    write_cycle(folder / "normal" / os.fsdecode(b"M\xfcll.csv"), 40)
    found = index_cycles(folder, CycleIndexing())
    assert found.rejected.to_numpy().tolist() == [["normal/M\\xfcll.csv", "its name is no UTF-8", "rename it"]]
    found.samples.to_parquet(tmp_path / "samples.parquet")


def test_a_number_sign_in_a_name_keeps_cycles_apart(tmp_path):
    for number in range(4):
        write_cycle(tmp_path / f"raw/normal/part#{number}.csv", number)
    samples = index_cycles(tmp_path / "raw", CycleIndexing()).samples
    assert samples["unit"].tolist() == [f"normal/part#{number}.csv" for number in range(4)]


def test_cycles_of_other_formats_alone_are_named(tmp_path):
    (tmp_path / "a.gif").touch()
    with pytest.raises(EndlineError, match=r"holds no cycle, but 1 file that is not read here \(\.gif\): put normal"):
        index_cycles(tmp_path, CycleIndexing())
