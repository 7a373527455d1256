"""Folders of parts as a table: every file has a row, kept where nothing has changed, whatever happened meanwhile."""

import json

import numpy as np
import pandas as pd
import pytest

from endline.errors import EndlineError
from endline.files import locked
from endline.operations.batch import Judge, Target, targets_of
from endline.operations.batch_progress import BatchProgress
from endline.operations.inspect_command import run_inspect
from endline.operations.inspection import Inspector, Judged
from endline.operations.model_folders import Chosen
from endline.operations.verdict_file import read_verdicts
from endline.operations.verdicts import Verdict
from endline.published import PublishedModel


@pytest.fixture
def inspect(scales):
    """Inspects paths in the project by the newest run of `scales`, or as more options say."""

    def run(*arguments):
        return scales.command("inspect", "--station=scales", *arguments)

    return run


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """Names of the files that are judged, in their order."""
    names: list[str] = []
    judged = Inspector.judged

    def noted(self, path, shown, item, **options):
        names.append(shown)
        return judged(self, path, shown, item, **options)

    monkeypatch.setattr(Inspector, "judged", noted)
    return names


@pytest.mark.parametrize("name", ["verdicts.parquet", "verdicts.csv"])
def test_the_table_has_the_verdicts_that_each_file_gets_by_itself(scales, padim, inspect, name):
    for number in range(4):
        scales.part(f"shift/{number}.json", weight=1 + number, seed=number)
    (scales.parts / "bad.json").write_text("[")
    told = inspect(scales.parts, "-o", name)
    assert told.exit_code == 1
    assert "5 of 5 files: 3 anomalous, 1 without a verdict\n" in told.output
    assert f"{name}: 5 rows, by the run 2 of scales\n" in told.output
    assert f"Error: 1 of 5 files have no verdict, see the column reason of {name}: they are not normal." in told.output
    rows = read_verdicts(scales.folder / name)
    assert [row.path for row in rows] == ["bad.json", *(f"shift/{number}.json" for number in range(4))]
    for row in rows[1:]:
        single = Inspector(padim).inspect(scales.parts / row.path).iloc[0]
        assert (row.score, row.p_value, row.digest) == (single["score"], single["p_value"], single["digest"])


def test_what_was_warned_of_stands_in_the_table_the_log_and_the_last_line(scales, inspect):
    scales.part("a.json")
    scales.part("b.json", weight=-1.0)
    told = inspect(scales.parts, "-o", "v.csv")
    assert "2 of 2 files: 1 anomalous, 0 without a verdict, 1 with a remark\n" in told.output
    said = "b.json has weights below zero: set the scales to zero."
    assert [row.remark for row in read_verdicts(scales.folder / "v.csv")] == ["", said]
    assert f"\nremark     {said}\n" in scales.command("audit", "b.json").output
    assert "remark  " not in scales.command("audit", "a.json").output


def test_rows_are_kept_of_files_that_are_the_same_and_of_those_that_are_gone(scales, inspect, opened):
    for number in range(4):
        scales.part(f"{number}.json", seed=number)
    (scales.parts / "bad.json").write_text("[")
    inspect(scales.parts, "-o", "v.csv")
    before = {row.path: row for row in read_verdicts(scales.folder / "v.csv")}
    opened.clear()
    scales.part("1.json", weight=9.0)
    (scales.parts / "2.json").unlink()
    scales.part("4.json", seed=4)
    told = inspect(scales.parts, "-o", "v.csv")
    assert opened == ["1.json", "4.json", "bad.json"]  # what had no verdict may have one today
    assert "5 of 5 files (2 kept): 1 anomalous, 1 without a verdict" in told.output
    after = {row.path: row for row in read_verdicts(scales.folder / "v.csv")}
    assert sorted(after) == ["0.json", "1.json", "2.json", "3.json", "4.json", "bad.json"]
    assert all(after[name] == before[name] for name in ("0.json", "2.json", "3.json"))
    assert after["1.json"].flagged


def test_an_interrupted_table_goes_on_where_it_stopped(scales, inspect, opened, monkeypatch):
    for number in range(6):
        scales.part(f"{number}.json", seed=number)
    judge = Judge.judge

    def interrupted(self, target):
        if target.name == "3.json":
            raise KeyboardInterrupt
        return judge(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Judge, "judge", interrupted)
        told = inspect(scales.parts, "-o", "v.parquet")
    assert "Interrupted: the same command goes on where it stopped." in told.output
    assert [row.path for row in read_verdicts(scales.folder / "v.parquet")] == ["0.json", "1.json", "2.json"]
    opened.clear()
    assert inspect(scales.parts, "-o", "v.parquet").exit_code == 0
    assert opened == ["3.json", "4.json", "5.json"]
    inspect(scales.parts, "-o", "at_once.parquet")
    frames = [pd.read_parquet(scales.folder / name) for name in ("v.parquet", "at_once.parquet")]
    pd.testing.assert_frame_equal(*frames)


@pytest.mark.parametrize("count", [300, pytest.param(10_000, marks=pytest.mark.slow)])
def test_three_bad_files_among_many(scales, padim, monkeypatch, capsys, count):
    """The arrays and scores are left out: the way of the files is what is tried."""
    good = scales.part("00000.json").read_bytes()
    bad = {f"{number:05}.json" for number in (7, count // 2, count - 1)}
    for number in range(count):
        name = f"{number:05}.json"
        (scales.parts / name).write_bytes(b"[" if name in bad else good + b" " * (number % 7))

    def quick(self, path, shown, item, maps=False, others=()):
        try:
            weights = json.loads(path.read_text())
        except ValueError as error:
            return [Judged(self.refused(item, shown, "", f"{path}: {error}: weigh it again."), None)]
        row = Verdict(item, shown, "e3", "normal", float(np.mean(weights)), 0.5, False, None, "2", "scales")
        return [Judged(row, None)]

    monkeypatch.setattr(Inspector, "judged", quick)
    output = scales.folder / "v.parquet"
    with pytest.raises(EndlineError, match=rf"^3 of {count} files have no verdict, see the column reason of "):
        run_inspect([scales.parts], Chosen(scales.model("2"), padim), output=output)
    rows = read_verdicts(output)
    assert len(rows) == count
    assert {row.path for row in rows if row.verdict == "none"} == bad
    assert f"{count} of {count} files: 0 anomalous, 3 without a verdict" in capsys.readouterr().err


def test_maps_are_arrays_by_item_and_made_when_they_are_missing(scales, inspect, opened):
    weights = json.loads(scales.part("a/1.json").read_text())
    weights[6] = 9.0
    (scales.parts / "a/2.json").write_text(json.dumps({"7": weights}))
    inspect(scales.parts, "-o", "v.csv")
    opened.clear()
    assert inspect(scales.parts, "-o", "v.csv", "--maps=maps").exit_code == 0
    assert opened == ["a/1.json", "a/2.json"]
    files = sorted(path.relative_to(scales.folder).as_posix() for path in scales.folder.glob("maps/**/*.npy"))
    assert files == ["maps/a/1.json.npy", "maps/a/2.json/7.npy"]
    (anomaly_map,) = np.load(scales.folder / files[1])
    assert anomaly_map.dtype == np.float32
    assert np.unravel_index(anomaly_map.argmax(), anomaly_map.shape) == (1, 2)
    opened.clear()
    assert inspect(scales.parts, "-o", "v.csv", "--maps=maps").exit_code == 0
    assert opened == []


def test_table_and_maps_may_lie_in_the_folder_itself(scales, inspect):
    scales.part("a.json")
    for _ in range(2):
        told = inspect(scales.parts, "-o", scales.parts / "v.csv", "--maps", scales.parts / "maps")
        assert told.exit_code == 0, told.output
    assert [row.path for row in read_verdicts(scales.parts / "v.csv")] == ["a.json"]


def test_lines_are_printed_where_there_is_no_table(scales, inspect):
    good, table = scales.part("a.json"), scales.parts / "b.json"
    table.write_text(json.dumps({"7": json.loads(good.read_text()), "8": [1]}))
    told = inspect(scales.parts, good)
    assert told.exit_code == 1
    names = [line.split("  ")[-1] for line in told.output.splitlines() if line.startswith("normal")]
    assert names == ["a.json", "b.json/7", str(good)]
    assert f"NONE       {table}/8 has 1 weights: weigh it again." in told.output
    assert "Error: 1 of 4 items have no verdict, see above: they are not normal." in told.output
    alone = inspect(scales.parts / "absent.json")
    assert alone.output == f"Error: {scales.parts}/absent.json: the file does not exist: restore it.\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            ["parts", "-o", "v.xlsx"],
            "v.xlsx is no table of verdicts by its ending: write to .parquet or .csv (--output).",
        ),
        (["empty"], "empty holds no file to judge: give a folder of weighings."),
        (["parts", "--run=9"], "There is no run or station '9' with a published model: the newest runs are 2, 1."),
        (["parts", "--run=data/06_models/none"], "data/06_models/none is no folder of a published model, it has no"),
        (
            ["parts", "--run=2", "--station=mirror_audio"],
            "The run 2 is of the station scales: leave out --station=mirror_",
        ),
        (
            ["parts", "--run=1", "--maps=maps"],
            "The detectors of the run 1 have no anomaly maps: leave out --maps, or run the station with one that has.",
        ),
        (
            ["parts/a.json", "other/a.json", "-o", "v.csv"],
            "parts/a.json and other/a.json have one name, a.json: give the folder above both instead.",
        ),
        (
            ["parts", "-o", "old.csv"],
            "old.csv holds verdicts of the run 1, and 2 judges now: write to another --output",
        ),
        (["parts", "-o", "busy.csv"], "Another process writes busy.csv: wait for it, or write to another --output."),
    ],
)
def test_what_cannot_be_done_is_a_sentence(scales, sentence, options, said):
    part = scales.part("a.json")
    for name in ("other/a.json", "empty/notes.txt"):
        (scales.folder / name).parent.mkdir()
        (scales.folder / name).write_bytes(part.read_bytes())
    assert scales.command("inspect", "parts", "--run=1", "-o", "old.csv").exit_code == 0
    options = options if "--run" in str(options) else [*options, "--run=2"]
    with locked(scales.folder / ".busy.csv.lock"):
        assert sentence(scales.command("inspect", *options)).startswith(said)
    assert not (scales.folder / "v.csv").exists()


def test_a_folders_files_are_found_without_notes_and_what_is_hidden(scales):
    station = type("Record", (), {"suffixes": (".json",), "evidence": "weighings", "groups": None})
    for name in ("b.json", "deep/a.json", "c.gif", "notes.txt", "labels.csv", "units.csv", ".d.json", "Thumbs.db"):
        (scales.parts / name).parent.mkdir(exist_ok=True)
        (scales.parts / name).touch()
    (scales.parts / "folder.json").mkdir()
    found = targets_of([scales.parts, scales.parts / "b.json"], station)
    assert [target.name for target in found] == [
        "b.json", "c.gif", "deep/a.json", "folder.json", str(scales.parts / "b.json")
    ]  # fmt: skip
    assert found[3].problem == f"{scales.parts}/folder.json: a folder, named like a file of data: rename it."


def test_a_log_without_a_terminal_has_a_line_now_and_then():
    now, lines = [0.0], []
    row = Verdict("a", "a", "e3", "normal", 1.0, 0.5, False, None, "2", "scales")
    with BatchProgress(100, lines.append, terminal=False, clock=lambda: now[0]) as progress:
        for number in range(100):
            now[0] += 6.0
            progress.count([row], kept=number < 50)
    assert lines[0] == "5 of 100 files (5 kept): 0 anomalous, 0 without a verdict"
    assert lines[11] == "60 of 100 files (50 kept): 0 anomalous, 0 without a verdict; about 24 min left"
    assert len(lines) == 21  # every 30 s of 600, and at the end
    assert lines[-1] == "100 of 100 files (50 kept): 0 anomalous, 0 without a verdict"


def test_a_terminal_has_a_bar_and_one_line_at_the_end(capsys):
    lines = []
    with BatchProgress(1, lines.append, terminal=True) as progress:
        progress.count([Verdict.refused("a", "a", "", "a is empty.", "2", "scales")])
    assert lines == ["1 of 1 files: 0 anomalous, 1 without a verdict"]
    assert "Inspecting" in capsys.readouterr().err


def test_a_target_that_cannot_be_opened_is_never_opened(padim, tmp_path):
    judge = Judge(Inspector(padim), tmp_path)
    (row,) = judge.judge(Target(tmp_path / "pipe", "pipe", "pipe", "pipe: a pipe: take it away."))
    assert (row.verdict, row.reason, row.digest) == ("none", "pipe: a pipe: take it away.", "")


def test_the_model_is_read_once(scales, padim, monkeypatch):
    loads = []
    load = PublishedModel.load.__func__
    monkeypatch.setattr(
        PublishedModel, "load", classmethod(lambda cls, *given: loads.append(given) or load(cls, *given))
    )
    scales.part("a.json")
    assert scales.command("inspect", "--run=2", scales.parts, "-o", "v.csv").exit_code == 0
    assert len(loads) == 1
