"""New files of a folder: each is judged once, when it is complete."""

import signal
import time

import pytest

from endline.errors import EndlineError
from endline.evidence.station import find_station
from endline.operations.inspection import Inspector
from endline.operations.verdict_file import read_verdicts
from endline.operations.watching import Arrivals, WatchSettings, watch

QUICK = WatchSettings(every=0.0, settle=0.0)


@pytest.fixture
def output(scales):
    return scales.folder / "verdicts.csv"


@pytest.fixture
def look(scales, padim, output):
    """Watches the folder until all that is there has been judged; gives the new rows."""

    def judged() -> list[str]:
        told = []
        watch(scales.parts, Inspector(padim), output, QUICK, told.append, once=True)
        return [f"{row.path} {row.verdict}" for row in told]

    return judged


def test_each_file_is_judged_once_also_by_the_next_command(scales, look, output):
    scales.part("a.json")
    assert look() == ["a.json normal"]
    scales.part("deep/b.json", weight=9.0, seed=1)
    assert look() == ["deep/b.json anomalous"]
    assert look() == []
    assert [row.path for row in read_verdicts(output)] == ["a.json", "deep/b.json"]


def test_a_file_of_another_content_under_the_same_name_is_another_part(scales, look, output):
    scales.part("latest.json")
    assert look() == ["latest.json normal"]
    scales.part("latest.json", weight=9.0)
    assert look() == ["latest.json anomalous"]
    assert [row.flagged for row in read_verdicts(output)] == [False, True]


def test_a_copy_has_a_row_that_says_so_and_no_verdict_of_its_own(scales, look, output):
    (scales.parts / "b.json").write_bytes(scales.part("a.json").read_bytes())
    assert look() == ["a.json normal", "b.json none"]
    assert read_verdicts(output)[1].reason == (
        f"{scales.parts}/b.json is a copy of a.json, which has its verdict: look for a recording that stands still."
    )
    look()
    assert len(read_verdicts(output)) == 2


def test_what_cannot_be_used_has_its_reason_and_stops_nothing(scales, look, output):
    (scales.parts / "bad.json").write_text("[")
    (scales.parts / "empty.json").touch()
    (scales.parts / "gone.json").symlink_to("nowhere")
    (scales.parts / "notes.txt").write_text("shift 2")
    scales.part("good.json")
    assert look() == ["bad.json none", "empty.json none", "gone.json none", "good.json normal"]
    assert {row.path: row.reason for row in read_verdicts(output)}["gone.json"].endswith(
        "gone.json: a link to something that is not there: restore what it leads to, or delete the link."
    )
    scales.part("bad.json", seed=3)
    assert "bad.json normal" in look()


def test_a_newer_model_goes_on_with_the_same_table(scales, models, look, output):
    scales.part("a.json")
    look()
    scales.part("b.json", seed=1)
    watch(scales.parts, Inspector(models[0]), output, QUICK, lambda row: None, once=True)
    assert [(row.path, row.run) for row in read_verdicts(output)] == [("a.json", "2"), ("b.json", "1")]


def test_a_file_counts_as_complete_when_it_has_stayed_the_same(scales):
    arrivals = Arrivals(scales.parts, find_station("scales"), settle=2.0)
    assert list(arrivals.complete(0.0)) == []
    file = scales.part("a.json")
    assert [list(arrivals.complete(now)) for now in (1.0, 2.0)] == [[], []]
    file.write_text(file.read_text() + " ")  # it grows
    assert list(arrivals.complete(3.0)) == []
    assert arrivals.waiting
    assert list(arrivals.complete(4.0)) == []
    assert [target.name for target in arrivals.complete(5.0)] == ["a.json"]
    assert not arrivals.waiting
    assert list(arrivals.complete(9.0)) == []
    file.unlink()
    assert list(arrivals.complete(10.0)) == []
    assert not arrivals.waiting


def test_a_file_that_goes_before_it_is_judged_is_a_writers_own(scales, padim, output, monkeypatch):
    scales.part("a.json")
    scales.part("b.json.tmp", seed=1)
    complete = Arrivals.complete

    def renamed(self, now):
        ready = list(complete(self, now))
        if (scales.parts / "b.json.tmp").exists():
            (scales.parts / "b.json.tmp").rename(scales.parts / "b.json")
        return ready

    monkeypatch.setattr(Arrivals, "complete", renamed)
    told = []
    looks = []

    def two_looks(seconds):
        looks.append(seconds)
        if len(looks) == 2:
            raise KeyboardInterrupt

    watch(scales.parts, Inspector(padim), output, QUICK, told.append, sleep=two_looks)
    assert [(row.path, row.verdict) for row in told] == [("a.json", "normal"), ("b.json", "normal")]


def test_a_folder_that_goes_away_is_said_once_and_taken_up_again(scales, padim, output):
    away = scales.folder / "away"
    scales.part("a.json")
    told, steps = (
        [],
        [
            lambda: scales.parts.rename(away),
            lambda: None,
            lambda: away.rename(scales.parts),
            lambda: scales.part("b.json", seed=1),
        ],
    )

    def step(seconds):
        if not steps:
            raise KeyboardInterrupt
        steps.pop(0)()

    watch(scales.parts, Inspector(padim), output, QUICK, told.append, sleep=step)
    assert [(row.path, row.verdict) for row in told] == [("a.json", "normal"), (".", "none"), ("b.json", "normal")]
    assert "the folder cannot be read (No such file or directory): check its rights and the disk" in told[1].reason


def test_the_folder_is_left_alone_for_longer_when_a_look_takes_long(scales, padim, output, monkeypatch):
    listed = Arrivals.complete
    monkeypatch.setattr(Arrivals, "complete", lambda self, now: time.sleep(0.02) or listed(self, now))
    pauses = []

    def stop(seconds):
        pauses.append(seconds)
        raise KeyboardInterrupt

    watch(scales.parts, Inspector(padim), output, WatchSettings(0.01, 0.0), print, sleep=stop)
    assert pauses[0] >= 20 * 0.02


def test_a_folder_that_is_not_there_and_a_time_that_is_none_are_refused(scales, padim, output):
    with pytest.raises(EndlineError, match=r"There is no folder .*/absent: give the folder that new files come to\."):
        watch(scales.folder / "absent", Inspector(padim), output, QUICK, print, once=True)
    with pytest.raises(EndlineError, match=r"settle=-1 is no time in seconds: give 0 to 86400\."):
        WatchSettings(settle=-1)


def test_the_command_says_what_it_judges(scales):
    scales.part("a.json")
    (scales.parts / "bad.json").write_text("[")
    told = scales.command(
        "watch", scales.parts, "--station=scales", "-o", "v.parquet", "--once", "--every=0", "--settle=0"
    )
    assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[0] == f"What comes into {scales.parts} is judged by the run 2 of scales; Ctrl-C ends it."
    assert any(line.startswith("normal     score") and line.endswith("  a.json") for line in lines)
    assert lines[-1] == "Ended: 2 items, 0 anomalous, 1 without a verdict: v.parquet"
    assert len(read_verdicts(scales.folder / "v.parquet")) == 2


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_cleanly(scales, padim, output, how, request):
    started = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background
    request.addfinalizer(lambda: signal.signal(signal.SIGINT, started))
    scales.part("a.json")
    told, before = [], signal.getsignal(signal.SIGTERM)
    watch(scales.parts, Inspector(padim), output, QUICK, told.append, sleep=lambda seconds: signal.raise_signal(how))
    assert [row.path for row in told] == [row.path for row in read_verdicts(output)] == ["a.json"]
    assert signal.getsignal(signal.SIGTERM) == before
    assert not list(scales.folder.glob(".*"))  # no lock, nothing partial


def test_a_part_is_given_again_when_its_scan_comes_after_its_photograph(tmp_path):
    (tmp_path / "0_rgb.jpg").write_bytes(b"photograph")
    arrivals = Arrivals(tmp_path, find_station("surface_scan"), settle=2.0)
    assert [len(list(arrivals.complete(now))) for now in (0.0, 2.0, 4.0)] == [0, 1, 0]
    (tmp_path / "0_xyz.ply").write_bytes(b"scan")
    found = [list(arrivals.complete(now)) for now in (5.0, 6.0, 7.0, 9.0)]
    assert [len(each) for each in found] == [0, 0, 1, 0]
    assert [path.name for path in found[2][0].files] == ["0_rgb.jpg", "0_xyz.ply"]
