"""The log of verdicts is append-only and chained, and what decided on a sample can be shown and rebuilt."""

import json
import threading
import time
from dataclasses import replace

import pytest

from endline.errors import EndlineError
from endline.files import discard, write_whole
from endline.operations.registry import CHAMPION
from endline.operations.verdict_log import VerdictLog, end_file, entries, log_file
from endline.operations.verdicts import Verdict

NAME = "endline.scales.all"
ROW = Verdict("a", "a", "e3", "normal", 1.0, 0.5, False, None, "1", "scales")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "log.jsonl"


def appended(path, count, start=0):
    log = VerdictLog(path)
    log.add(replace(ROW, sample_id=str(start + number)) for number in range(count))
    log.flush()


def test_each_line_holds_the_digest_of_the_line_before(path):
    appended(path, 2)
    appended(path, 3, start=2)
    assert [entry["sample_id"] for entry in entries(path)] == ["0", "1", "2", "3", "4"]
    first = next(entries(path))
    assert (first["before"], first["score"], first["reason"]) == ("0" * 64, 1.0, None)
    assert sorted(path.name for path in path.parent.iterdir()) == ["log.end", "log.jsonl"]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda lines: [*lines[:1], lines[1].replace(b'"normal"', b'"anomalous"'), *lines[2:]], 3),
        (lambda lines: [lines[0], *lines[2:]], 2),
        (lambda lines: lines[1:], 1),
        (lambda lines: [*lines[:3], lines[2], *lines[3:]], 4),
        (lambda lines: [*lines[:2], b"?\n", *lines[3:]], 3),
    ],
)
def test_a_changed_removed_or_added_line_is_told(path, change, line):
    appended(path, 5)
    path.write_bytes(b"".join(change(path.read_bytes().splitlines(keepends=True))))
    with pytest.raises(
        EndlineError, match=rf"^The log of verdicts .*log.jsonl is broken at line {line}: this line, or "
    ):
        list(entries(path))


def test_lines_cut_off_at_the_end_are_told(path, caplog):
    appended(path, 3)
    whole = path.read_bytes()
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:2]))
    with pytest.raises(EndlineError, match=r"log.jsonl is broken at its end: the line that was the last .* log.end "):
        list(entries(path))
    appended(path, 2, start=3)
    assert "is broken at its end" in caplog.text  # and what was cut off stays told
    with pytest.raises(EndlineError, match="is broken at its end"):
        list(entries(path))
    path.write_bytes(whole)
    assert len(list(entries(path))) == 3


def test_a_process_killed_before_it_named_its_last_line_breaks_nothing(path):
    appended(path, 2)
    end = end_file(path).read_text()
    appended(path, 2, start=2)
    write_whole(end_file(path), end)
    assert len(list(entries(path))) == 4
    appended(path, 1, start=4)
    assert len(list(entries(path))) == 5
    end_file(path).unlink()  # a log of before this file was kept
    appended(path, 1, start=5)
    assert len(list(entries(path))) == 6
    assert end_file(path).read_text() != end


def test_verdicts_that_stand_in_the_log_are_not_written_again_where_its_end_was_not(path, monkeypatch):
    log = VerdictLog(path)
    log.add([ROW])

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("endline.operations.verdict_log.write_whole", full)
        with pytest.raises(EndlineError, match=r"could not be written \(No space left on device\)"):
            log.flush()
    log.add([replace(ROW, sample_id="b")])
    log.flush()
    assert [entry["sample_id"] for entry in entries(path)] == ["a", "b"]


def test_half_a_line_of_a_killed_process_is_left_out(path, caplog):
    appended(path, 3)
    with path.open("ab") as file:
        file.write(b'{"before": "e3')
    assert len(list(entries(path))) == 3
    appended(path, 1, start=3)
    assert [entry["sample_id"] for entry in entries(path)] == ["0", "1", "2", "3"]
    assert "ended in half a line, of a process that was killed: it is left out." in caplog.text


def test_writers_at_once_keep_one_chain(path):
    writers = [threading.Thread(target=lambda: [appended(path, 5) for _ in range(8)]) for _ in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert len(list(entries(path))) == 120


def test_a_long_line_and_thousands_of_rows_are_quick(path):
    log = VerdictLog(path)
    log.add([replace(ROW, reason="x" * 300_000)])
    log.flush()
    begun = time.process_time()
    appended(path, 5000)
    appended(path, 1)
    assert time.process_time() - begun < 2
    assert sum(1 for _ in entries(path)) == 5002


def test_a_log_that_cannot_be_written_is_a_sentence(tmp_path):
    write_whole(tmp_path / "file", "")
    with pytest.raises(EndlineError, match=r"could not be written .* or judge without it \(--no-log\)\.$"):
        appended(tmp_path / "file/log.jsonl", 1)


def test_every_verdict_is_logged_and_a_switch_leaves_it(scales, tmp_path):
    log = log_file(scales.folder, "scales")
    scales.part("a.json")
    write_whole(scales.parts / "b.json", "?")
    table = tmp_path / "verdicts.csv"
    for options in (["--no-log"], ["--output", table, "--no-log"]):
        scales.command("inspect", scales.parts, "--run=2", *options)
    assert not log.exists()
    scales.command("inspect", scales.parts, "--run=2")
    assert [(entry["sample_id"], entry["verdict"]) for entry in entries(log)] == [
        ("a.json", "normal"),
        ("b.json", "none"),
    ]
    scales.command("inspect", scales.parts, "--run=2", "--output", tmp_path / "other.csv")
    scales.command("inspect", scales.parts, "--run=2", "--output", tmp_path / "other.csv")  # a row that is kept is none
    assert [entry["sample_id"] for entry in entries(log)][2:] == ["a.json", "b.json", "b.json"]
    scales.command("watch", scales.parts, "--run=2", "--settle=0", "--once", "--output", tmp_path / "third.csv")
    assert [entry["sample_id"] for entry in entries(log)][5:] == ["a.json", "b.json"]
    assert json.loads(log.read_text().splitlines()[-1])["file"] == str(scales.parts / "b.json")


def test_outside_a_project_verdicts_are_logged_where_that_is_asked_for_alone(scales, tmp_path_factory):
    part, elsewhere = scales.part("a.json"), tmp_path_factory.mktemp("elsewhere")
    outside = replace(scales, folder=elsewhere)
    told = outside.command("inspect", part, f"--run={scales.model('2')}")
    assert told.exit_code == 0, told.output
    assert list(elsewhere.iterdir()) == []
    outside.command("inspect", part, f"--run={scales.model('2')}", "--log")
    assert [entry["sample_id"] for entry in entries(log_file(elsewhere, "scales"))] == ["a.json"]


def test_an_audit_shows_what_decided_and_rebuilds_the_score(shelf, padim, scales, tmp_path):
    shelf.add(padim, tags={"endline.data": "ab12"})
    shelf.registry.set_alias(NAME, CHAMPION, 1)
    scales.part("deep/a.json")
    scales.command("inspect", scales.parts, f"--model={NAME}@champion", "--output", tmp_path / "v.csv")
    for sample in ("deep/a.json", "a.json", scales.parts / "deep/a.json"):
        told = scales.command("audit", sample)
        assert told.exit_code == 0, told.output
    lines = told.output.splitlines()
    assert lines[0].startswith(f"deep/a.json ({scales.parts}/deep/a.json), 20")
    assert any(line == f"model      {NAME}/1 (champion), run 2 of scales" for line in lines)
    assert any(line == "data       ab12" for line in lines)
    assert any(line.endswith("log.jsonl: 1 verdicts, whole") for line in lines)
    assert lines[-1].startswith("Rebuilt from the file and the model: score ")
    assert lines[-1].endswith(", equal to the last digit.")
    # By the run's own folder where no registry answers.
    (scales.folder / "mlruns/mlflow.db").unlink()
    told = scales.command("audit", "a.json")
    assert told.exit_code == 0
    assert "\nregistry   There is no registry yet, sqlite:///" in told.output


def test_an_audit_tells_what_is_not_as_it_was(scales, sentence):
    log = log_file(scales.folder, "scales")
    assert sentence(scales.command("audit", "a.json")).startswith(
        "a.json is not in a log of verdicts, for there is none "
    )
    part = scales.part("a.json")
    scales.command("inspect", part, "--run=2")
    assert sentence(scales.command("audit", "b.json")).startswith(
        "b.json is not in the logs of verdicts: give the item"
    )
    whole = log.read_bytes()
    (entry,) = entries(log)
    log.write_bytes(json.dumps({**entry, "score": entry["score"] + 1e-9}).encode() + b"\n")
    end_file(log).unlink()
    assert sentence(scales.command("audit", "a.json")).startswith("The rebuilt score is ")
    log.write_bytes(whole)
    scales.part("a.json", seed=1)
    assert "has changed since (its SHA-256): restore it." in sentence(scales.command("audit", "a.json"))
    part.unlink()
    assert sentence(scales.command("audit", "a.json")) == f"The score cannot be rebuilt, {part} has gone: restore it."
    discard(scales.model("2").parent)
    assert sentence(scales.command("audit", "a.json")).startswith(
        "There is no run or station '2' with a published model"
    )
    log.write_bytes(whole.replace(b'"before": "0', b'"before": "1'))
    assert "is broken at line 1: this line" in sentence(scales.command("audit", "a.json"))


def test_a_name_that_several_files_have_asks_for_a_path(scales, sentence):
    files = [scales.part("a/x.json"), scales.part("b/x.json")]
    for file in files:
        scales.command("inspect", file, "--run=2")
    assert sentence(scales.command("audit", "x.json")).startswith(
        "2 files of the name x.json were judged: give the path"
    )
    for file in files:
        told = scales.command("audit", file)
        assert told.output.splitlines()[0].startswith(f"x.json ({file}), 20")
