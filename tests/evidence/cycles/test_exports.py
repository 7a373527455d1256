"""Cycles as users export them: read with the right values, or refused by name; nothing vanishes without a word."""

import json
from datetime import datetime, timedelta
from decimal import Decimal

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from endline.errors import EndlineError, FileRejected
from endline.evidence.cycles.cycle_files import read_cycle
from endline.evidence.cycles.features import CyclePreparation, common_length
from endline.evidence.cycles.index import CycleIndexing, index_cycles
from endline.evidence.cycles.new_files import new_cycle
from endline.evidence.cycles.resampling import at_rate
from endline.evidence.cycles.values import Cycle, CycleFormat, checked

STEPS = 50


def table(steps: int = STEPS, rate: float = 100.0, seed: int = 0, **changes) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    columns = {"time": np.arange(steps) / rate, "force": rng.standard_normal(steps), "way": np.arange(steps) + 0.5}
    return pd.DataFrame({**columns, **changes})


def saved(path, cycle: pd.DataFrame):
    path.parent.mkdir(parents=True, exist_ok=True)
    cycle.to_parquet(path) if path.suffix == ".parquet" else cycle.to_csv(path, index=False)
    return path


def folder_of(tmp_path, normals: int = 5, **options):
    for number in range(normals):
        saved(tmp_path / f"raw/normal/{number}.csv", table(seed=number, **options))
    return tmp_path / "raw"


# By name


def test_signals_are_taken_by_name_whatever_their_order(tmp_path):
    folder, turned = folder_of(tmp_path), ["way", "time", "force"]
    saved(folder / "normal/0.csv", table()[turned])
    found = index_cycles(folder, CycleIndexing())
    assert found.rejected.empty
    names = tuple(found.facts["signals"])
    _, cycle = new_cycle(saved(tmp_path / "new.csv", table()[turned]), CycleFormat(), names)
    arrays = CyclePreparation(names, STEPS, 100.0).made([cycle])["cycle"][0]
    assert np.array_equal(arrays[names.index("way")], np.arange(STEPS, dtype="f4") + 0.5)
    assert np.array_equal(arrays[names.index("force")], table()["force"].to_numpy("f4"))
    _, features = CyclePreparation(("force", "way"), STEPS, 100.0).inspect(tmp_path / "new.csv")
    assert np.array_equal(features.read()["cycle"][0, 1], np.arange(STEPS, dtype="f4") + 0.5)


def test_the_majority_of_the_normal_cycles_says_which_signals_there_are(tmp_path):
    folder = folder_of(tmp_path)
    saved(folder / "normal/0.csv", table(more=1.0))
    saved(folder / "stuck/0.csv", table(seed=9))
    found = index_cycles(folder, CycleIndexing())
    assert found.rejected[["path", "reason"]].to_numpy().tolist() == [
        ["normal/0.csv", "it has the signal 'more' that others lack"]
    ]
    assert len(found.samples) == 5
    assert found.facts["signals"] == ["force", "way"]


def test_a_signal_that_is_not_wanted_need_not_be_sound(tmp_path):
    folder = folder_of(tmp_path)
    saved(folder / "normal/0.csv", table(force=["x"] + ["1"] * (STEPS - 1)))
    assert index_cycles(folder, CycleIndexing()).rejected["reason"].tolist() == [
        "'force' in row 2 is 'x', which is no number"
    ]
    assert index_cycles(folder, CycleIndexing(signals=["way"])).rejected.empty


# Cells


def test_one_cell_of_text_is_named_and_no_signal_vanishes(tmp_path, caplog):
    path = saved(tmp_path / "a.csv", table(force=["1.5"] * 7 + ["high"] + ["2"] * (STEPS - 8), status="run"))
    with pytest.raises(FileRejected, match="'force' in row 9 is 'high', which is no number"):
        read_cycle(path, CycleFormat())
    folder = folder_of(tmp_path, status="run")
    assert index_cycles(folder, CycleIndexing()).facts["signals"] == ["force", "way"]
    assert "The column 'status' holds no numbers in 5 file(s), and is no signal" in caplog.text


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_numbers_are_read_however_they_are_written(tmp_path, suffix):
    cells = ["1,234.5"] + ["2.25"] * (STEPS - 1)
    path = saved(tmp_path / f"a.{suffix}", table(force=cells))
    assert read_cycle(path, CycleFormat()).values[0].tolist() == [1234.5] + [2.25] * (STEPS - 1)
    german = table().astype(str).apply(lambda column: column.str.replace(".", ","))
    german.to_csv(tmp_path / "german.csv", index=False, sep=";")
    cycle = read_cycle(tmp_path / "german.csv", CycleFormat())
    assert np.array_equal(cycle.values, table()[["force", "way"]].to_numpy().T)
    assert np.array_equal(cycle.times, table()["time"])


def test_decimals_of_parquet_are_numbers(tmp_path):
    cells = [Decimal("1.25")] * STEPS
    cycle = read_cycle(saved(tmp_path / "a.parquet", table(force=cells)), CycleFormat())
    assert cycle.names == ("force", "way")
    assert cycle.values[0].tolist() == [1.25] * STEPS


def test_text_in_json_is_read_as_numbers(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"time": [0.0, 0.1], "force": ["1,5", "2,5"], "by": ["me", "me"]}))
    cycle = read_cycle(tmp_path / "a.json", CycleFormat())
    assert (cycle.names, cycle.values.tolist(), cycle.left_out) == (("force",), [[1.5, 2.5]], ("by",))


def test_a_counter_far_from_zero_keeps_its_digits(tmp_path):
    folder = folder_of(tmp_path, way=2.0**31 + np.arange(STEPS))
    found = index_cycles(folder, CycleIndexing())
    offset = found.facts["offsets"][1]
    assert found.facts["offsets"] == [0.0, 2.0**31 + 24]
    preparation = CyclePreparation(("force", "way"), STEPS, 100.0, offsets=tuple(found.facts["offsets"]))
    _, features = preparation.inspect(folder / "normal/0.csv")
    way = features.read()["cycle"][0, 1].double().numpy() + offset
    assert way.tolist() == (2.0**31 + np.arange(STEPS)).tolist()


# Time


def test_excel_with_dates(tmp_path):
    book, begun = openpyxl.Workbook(), datetime(2024, 5, 1, 23, 59, 59, 500000)
    book.active.append(["time", "force"])
    for step in range(100):
        book.active.append([begun + timedelta(milliseconds=10 * step), step / 4])
    book.save(tmp_path / "a.xlsx")
    cycle = read_cycle(tmp_path / "a.xlsx", CycleFormat())
    assert cycle.values[0].tolist() == [step / 4 for step in range(100)]
    assert cycle.times == pytest.approx(np.arange(100) / 100, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("time", [0.0, 0.25, 0.5]),
        ("time [ms]", [0, 250, 500]),
        ("Time (ms)", [0, 250, 500]),
        ("time_us", [0, 250_000, 500_000]),
        ("time/s", [0, 0.25, 0.5]),
        ("time", [1714564800000, 1714564800250, 1714564800500]),
        ("time", [1714564800000000000, 1714564800250000000, 1714564800500000000]),
        ("time", ["2024-05-01T12:00:00", "2024-05-01T12:00:00.25", "2024-05-01T12:00:00.5"]),
        ("time", ["2024-05-01 12:00:00,00", "2024-05-01 12:00:00,25", "2024-05-01 12:00:00,50"]),
        ("time", ["01.05.2024 12:00:00,00", "01.05.2024 12:00:00,25", "01.05.2024 12:00:00,50"]),
        ("time", ["12:00:00.00", "12:00:00.25", "12:00:00.50"]),
    ],
)
def test_times_become_seconds(tmp_path, name, cells):
    path = saved(tmp_path / "a.csv", pd.DataFrame({name: cells, "force": [1.0, 2.0, 3.0]}))
    cycle = read_cycle(path, CycleFormat())
    assert cycle.names == ("force",)
    assert cycle.times - cycle.times[0] == pytest.approx([0, 0.25, 0.5], abs=1e-9)
    parquet = saved(tmp_path / "a.parquet", pd.DataFrame({name: cells, "force": [1.0, 2.0, 3.0]}))
    assert read_cycle(parquet, CycleFormat()).times == pytest.approx(cycle.times)


def test_units_below_the_names_count(tmp_path):
    (tmp_path / "a.csv").write_text("time;force\nms;N\n0;1,5\n250;2,5\n")
    cycle = read_cycle(tmp_path / "a.csv", CycleFormat())
    assert (cycle.times.tolist(), cycle.values.tolist()) == ([0.0, 0.25], [[1.5, 2.5]])


def test_dates_of_parquet(tmp_path):
    times = pd.date_range("2024-05-01", periods=4, freq="250ms")
    cycle = read_cycle(saved(tmp_path / "a.parquet", pd.DataFrame({"time": times, "f": 1.5})), CycleFormat())
    assert cycle.times.tolist() == [0, 0.25, 0.5, 0.75]


@pytest.mark.parametrize("cells", [[0, 10, 20], ["0", "1", "2"], [0.0, 10.0, 20.0]])
def test_whole_numbers_without_a_unit_are_never_taken_for_seconds(tmp_path, cells):
    path = saved(tmp_path / "a.csv", pd.DataFrame({"time": cells, "force": [1.0, 2.0, 3.0]}))
    with pytest.raises(FileRejected, match=r"its time 'time' counts in whole numbers without a unit .*: name the unit"):
        read_cycle(path, CycleFormat())
    assert read_cycle(path, CycleFormat(unit="ms")).times[1] in (0.001, 0.01)
    with pytest.raises(FileRejected, match="the unit 'weeks' of its time 'time' is unknown: give one of s, sec"):
        read_cycle(path, CycleFormat(unit="weeks"))


def test_uneven_steps_of_the_wanted_rate_are_made_even():
    times = np.linspace(0, 1, 101) ** 2  # 100 Hz on average
    values = np.stack([times, np.sin(3 * times)])
    even = np.linspace(0, 1, 101)
    assert at_rate(times, values, 100.0)[0] == pytest.approx(even, abs=1e-12)
    assert at_rate(times, values, 100.0)[1] == pytest.approx(np.sin(3 * even), abs=1e-3)


def test_signals_of_any_rate_are_served(tmp_path):
    folder = folder_of(tmp_path, rate=1.0)
    with pytest.raises(EndlineError, match=r"recorded at 1 Hz, too slowly for 50 Hz .*choose rate=1\)"):
        index_cycles(folder, CycleIndexing(rate=50.0))
    assert len(index_cycles(folder, CycleIndexing(rate="auto")).samples) == 5
    samples = index_cycles(folder, CycleIndexing(rate=1.0)).samples
    assert len(samples) == 5
    assert common_length(samples, 1.0) == STEPS
    slow = folder_of(tmp_path / "slow", rate=0.1234567)
    with pytest.raises(EndlineError, match=r"choose rate=0\.123\)"):
        index_cycles(slow, CycleIndexing(rate=1.0))
    assert len(index_cycles(slow, CycleIndexing(rate=0.123)).samples) == 5


def test_one_repeated_step_in_a_hundred_is_left_out_and_said(tmp_path, caplog):
    times = np.arange(100) / 100
    times[50] = times[49]
    folder = folder_of(tmp_path)
    saved(folder / "normal/0.csv", table(100, time=times))
    found = index_cycles(folder, CycleIndexing())
    assert found.rejected.empty
    assert found.samples["steps"].tolist() == [99, 50, 50, 50, 50]
    assert "1 step(s) of 1 cycle(s) repeat the time before them and are left out (first: normal/0.csv)" in caplog.text
    times[10:20] = times[10]
    with pytest.raises(FileRejected, match="its time stands still at 10 of 100 steps, first at step 11"):
        checked(Cycle(("a",), times, np.zeros((1, 100))))


# Damage and size


def test_json_that_would_crash_is_refused(tmp_path):
    path = tmp_path / "a.json"
    for content, said in (
        ("[" * 100_000 + "]" * 100_000, "its JSON is nested too deep to be a cycle"),
        (f'{{"time": [0.1, 0.2], "force": [1, {"9" * 400}]}}', "'force' holds an integer beyond any sensor"),
        (f'{{"time": [0.1, 0.2], "force": [1, {"9" * 5000}]}}', "it holds an integer of thousands of digits"),
    ):
        path.write_text(content)
        with pytest.raises(FileRejected, match=said):
            read_cycle(path, CycleFormat())


def test_damaged_parquet_never_ends_the_run(tmp_path):
    whole = saved(tmp_path / "a.parquet", table()).read_bytes()
    rng, refused = np.random.default_rng(0), 0
    for _ in range(150):
        broken = bytearray(whole)
        for place in rng.integers(0, len(whole), 6):
            broken[place] = rng.integers(256)
        (tmp_path / "b.parquet").write_bytes(broken)
        try:
            read_cycle(tmp_path / "b.parquet", CycleFormat())
        except FileRejected:
            refused += 1
    assert refused > 50


def test_a_packed_parquet_is_refused_before_it_is_read(tmp_path, monkeypatch):
    zeros = pa.array(np.zeros(1_000_000))
    pq.write_table(pa.table({"time": zeros, "a": zeros}), tmp_path / "a.parquet")
    assert (tmp_path / "a.parquet").stat().st_size < 100_000
    monkeypatch.setenv("ENDLINE_TABLE_LIMIT", "10")
    said = r"it would take 16 MB, more than the 10 MB .*raise the limit \(ENDLINE_TABLE_LIMIT=16, in MB\)"
    with pytest.raises(FileRejected, match=said):
        read_cycle(tmp_path / "a.parquet", CycleFormat())
