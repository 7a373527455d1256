"""What the cells of an export mean: units below the names, days of a spreadsheet, clocks, counters, labels."""

import numpy as np
import pandas as pd
import pytest

from endline.errors import EndlineError, FileRejected
from endline.evidence.cycles.cycle_files import read_cycle
from endline.evidence.cycles.doubtful_signals import doubtful
from endline.evidence.cycles.features import CyclePreparation, check_length
from endline.evidence.cycles.index import CycleIndexing, index_cycles
from endline.evidence.cycles.times import in_seconds
from endline.evidence.cycles.values import CycleFormat

STEPS = 40


def with_units(path, torque: str, gain: float = 1.0, seed: int = 0):
    rng = np.random.default_rng(seed)
    cells = np.column_stack([np.arange(STEPS) / 100, gain * rng.standard_normal(STEPS), np.arange(STEPS) + 0.5])
    rows = "\n".join(",".join(f"{cell:.6f}" for cell in row) for row in cells)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"time,torque,way\n{torque}\n{rows}\n" if torque else f"time,torque,way\n{rows}\n")
    return path


def test_a_signal_in_another_unit_is_refused_in_training_and_in_new_files(tmp_path):
    for number in range(5):
        with_units(tmp_path / f"raw/normal/{number}.csv", "s,Nm,mm", seed=number)
    with_units(tmp_path / "raw/normal/5.csv", "s,Ncm,mm", 100, seed=5)
    with_units(tmp_path / "raw/normal/6.csv", "", seed=6)  # says no unit
    found = index_cycles(tmp_path / "raw", CycleIndexing())
    assert found.rejected[["path", "reason"]].to_numpy().tolist() == [
        ["normal/5.csv", "its 'torque' is in Ncm, that of the cycles that train in Nm"]
    ]
    assert dict(zip(found.facts["signals"], found.facts["units"], strict=True)) == {"torque": "Nm", "way": "mm"}
    names, units = tuple(found.facts["signals"]), tuple(found.facts["units"])
    preparation = CyclePreparation(names, STEPS, 100.0, units=units)
    assert CyclePreparation.from_plain(preparation.plain()) == preparation
    preparation.inspect(with_units(tmp_path / "new.csv", "s,Nm,mm"))
    preparation.inspect(with_units(tmp_path / "new.csv", ""))
    with pytest.raises(EndlineError, match=r"new.csv: its 'torque' is in Ncm, .* in Nm: export it in Nm"):
        preparation.inspect(with_units(tmp_path / "new.csv", "s,Ncm,mm", 100))
    CyclePreparation(names, STEPS, 100.0).inspect(tmp_path / "new.csv")  # of a model that knows no units


def test_the_units_of_a_table_of_many_cycles_count_too(tmp_path):
    def shift(path, unit: str):
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = "\n".join(f"{part},{step / 100},{part + step}" for part in range(4) for step in range(STEPS))
        path.write_text(f"part,time,torque\n,s,{unit}\n{rows}\n")
        return path

    form = CycleFormat(cycle="part")
    shift(tmp_path / "raw/normal/0.csv", "Nm")
    found = index_cycles(tmp_path / "raw", CycleIndexing(form=form))
    assert found.facts["units"] == ["Nm"]
    preparation = CyclePreparation(("torque",), STEPS, 100.0, form=form, units=("Nm",))
    with pytest.raises(EndlineError, match="its 'torque' is in Ncm"):
        list(preparation.inspect_each(shift(tmp_path / "new.csv", "Ncm")))


def test_days_of_a_spreadsheet_are_no_seconds():
    days = 45413.5 + np.arange(50) / 100 / 86400
    with pytest.raises(
        FileRejected, match=r"its time 'time' looks like days of a spreadsheet \(45413.5, .*'time \[d\]'"
    ):
        in_seconds(pd.Series(days), None, "time")
    assert in_seconds(pd.Series(days - 45413), "d", "time")[1] == pytest.approx(43200.01, abs=1e-3)
    since_start = 45413.5 + np.arange(50) / 100  # seconds since a controller was switched on
    assert in_seconds(pd.Series(since_start), None, "time") == pytest.approx(since_start)


def test_arrays_that_would_keep_next_to_nothing_of_a_cycle_are_refused():
    training = pd.DataFrame({"duration": [2.3e-5, 2.3e-5], "steps": [100, 100]})
    with pytest.raises(
        EndlineError, match=r"last 2.3e-05 s and were recorded with 100 steps, of which 2 are left at 100"
    ):
        check_length(training, 2, 100.0)
    check_length(training, 2, None)  # stretched to so few by the user
    check_length(training.assign(steps=7), 2, 100.0)
    check_length(training, 8, 100.0)


@pytest.mark.parametrize(
    ("cells", "seconds"),
    [
        (["23:59:59.5", "00:00:00.0", "00:00:00.5"], [0, 0.5, 1.0]),
        (["01.05.2024 12:00:00", "01.05.2024 12:00:00,25", "01.05.2024 12:00:01"], [0, 0.25, 1.0]),
    ],
)
def test_clocks_pass_midnight_and_full_seconds_need_no_fraction(cells, seconds):
    assert in_seconds(pd.Series(cells), None, "time").tolist() == pytest.approx(seconds)


@pytest.mark.parametrize("cell", ["05/01/2024 12:00:00.0", "01.05.24 12:00:00,00", "12:00:00.0 PM", "00:00.00"])
def test_dates_that_are_not_read_ask_for_iso(cell):
    with pytest.raises(FileRejected, match=r"is neither numbers nor dates throughout .* as ISO 8601"):
        in_seconds(pd.Series([cell, cell]), None, "time")


def test_a_table_of_names_alone_is_a_cycle_without_steps(tmp_path):
    (tmp_path / "a.csv").write_text("time,torque\n")
    with pytest.raises(FileRejected, match="a cycle of 0 step"):
        read_cycle(tmp_path / "a.csv", CycleFormat())


def test_a_column_that_is_empty_throughout_is_no_signal(tmp_path):
    (tmp_path / "a.csv").write_text("time,torque,spare\n0.0,1.5,\n0.1,2.5,\n")
    cycle = read_cycle(tmp_path / "a.csv", CycleFormat())
    assert (cycle.names, cycle.left_out) == (("torque",), ("spare",))
    pd.DataFrame({"time": [0.0, 0.1], "torque": [1.5, 2.5], "spare": [np.nan, np.nan]}).to_parquet(
        tmp_path / "a.parquet"
    )
    assert read_cycle(tmp_path / "a.parquet", CycleFormat()).left_out == ("spare",)
    with pytest.raises(EndlineError, match=r"a.csv: its column 'spare' holds no numbers: export the signal as numbers"):
        CyclePreparation(("torque", "spare"), 2, 10.0).inspect(tmp_path / "a.csv")


def test_a_new_file_that_writes_a_name_otherwise_is_told(tmp_path):
    (tmp_path / "a.csv").write_text("time,Torque \n0.0,1.5\n0.1,2.5\n")
    with pytest.raises(EndlineError, match=r"a.csv: it lacks the signal 'torque' .* \('Torque' is written otherwise\)"):
        CyclePreparation(("torque",), 2, 10.0).inspect(tmp_path / "a.csv")


def test_points_between_thousands_of_whole_numbers_are_asked_about(tmp_path):
    (tmp_path / "a.csv").write_text("time;way\n0,0;998\n0,1;1.002\n")  # the time says what a comma is
    with pytest.raises(FileRejected, match=r"'way' in row 3 is '1.002', which may be 1.002 or 1002"):
        read_cycle(tmp_path / "a.csv", CycleFormat())
    (tmp_path / "a.csv").write_text("way;pull\n998;7\n1.002;9\n")
    with pytest.raises(FileRejected, match=r"'way' in row 3 is '1.002', which may be 1.002 or 1002"):
        read_cycle(tmp_path / "a.csv", CycleFormat(time="pull", unit="ms"))
    (tmp_path / "a.csv").write_text("time,way\n0.0,998\n0.1,1.002\n")  # a computer writes both so
    assert read_cycle(tmp_path / "a.csv", CycleFormat(unit="s")).values.tolist() == [[998.0, 1.002]]


def spans_of(values: np.ndarray) -> np.ndarray:
    """Spans of one signal, (cycles, 2, 1), of values (cycles, steps)."""
    return np.stack([values.min(1), values.max(1)], 1)[:, :, np.newaxis]


def test_numbers_of_parts_clocks_and_labels_among_the_signals_are_named():
    rng, known = np.random.default_rng(0), [True] * 6 + [False] * 4
    still = np.ones((10, 5))
    cases = {
        "number": (still * 4006381000000 + np.arange(10)[:, None], "as the number of a part is"),
        "label": (still * np.array([0] * 6 + [1] * 4)[:, None], "is 0 in all normal cycles and in no other"),
        "clock": (1.7e9 + 60 * np.arange(10)[:, None] + np.arange(5), "as a clock or a counter does"),
        "backwards": (-(60 * np.arange(10)[:, None] + np.arange(5.0)), "as a clock or a counter does"),
        "torque": (rng.standard_normal((10, 5)), ""),
        "setting": (still * np.array([20, 30] * 5)[:, None], ""),
        "constant": (still, ""),
    }
    for name, (values, said) in cases.items():
        found = doubtful([name], spans_of(values), known)
        assert list(found) == ([name] if said else []), name
        assert found.get(name, "").endswith(said) or said in found[name]
    assert doubtful(["number"], spans_of(cases["number"][0])[:7], known[:7]) == {}  # too few to tell
    assert doubtful(["label"], spans_of(cases["label"][0]), [None] * 10) == {}


def test_a_folder_whose_part_number_is_a_column_is_warned_of(tmp_path, caplog):
    for number in range(8):
        path = with_units(tmp_path / f"raw/normal/{number}.csv", "", seed=number)
        pd.read_csv(path).assign(part=4006381000000 + number).to_csv(path, index=False)
    index_cycles(tmp_path / "raw", CycleIndexing())
    assert "The column 'part' stands still within every cycle and is another in most" in caplog.text
    assert caplog.text.count("is taken for a signal") == 1


def test_text_files_that_a_recorder_exported_are_named(tmp_path):
    for number in range(4):
        path = tmp_path / f"raw/normal/{number}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("time\ttorque\n0.0\t1\n")
    with pytest.raises(EndlineError, match=r"4 files that are not read here \(.txt\)"):
        index_cycles(tmp_path / "raw", CycleIndexing())
