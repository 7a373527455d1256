"""Files appear whole or not at all, and equal contents have equal keys."""

import errno
import subprocess
import sys
from contextlib import contextmanager

import pytest

from endline.errors import EndlineError
from endline.files import clear_partials, content_key, link, locked, partial_name, whole, write_whole
from endline.owner import Owner


def test_content_key_follows_the_content_alone():
    assert content_key({"a": 1, "b": [1, 2]}) == content_key({"b": [1, 2], "a": 1})
    keys = {content_key(*parts) for parts in [(1,), ("1",), (1, None), ([1],), ({"a": 1},), ({"a": 2},), (1.5,)]}
    assert len(keys) == 7
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


def failing(path, error: Exception) -> None:
    with whole(path) as partial:
        partial.write_text("half")
        raise error


def test_an_error_leaves_the_file_as_it_was(tmp_path):
    path = tmp_path / "a.txt"
    write_whole(path, "before")
    with pytest.raises(RuntimeError):
        failing(path, RuntimeError())
    assert path.read_text() == "before"
    assert [each.name for each in tmp_path.iterdir()] == ["a.txt"]


def test_a_folder_appears_in_one_step(tmp_path):
    with whole(tmp_path / "model") as partial:
        partial.mkdir()
        (partial / "a").touch()
        assert not (tmp_path / "model").exists()
    assert (tmp_path / "model/a").exists()


@pytest.mark.parametrize("wrapped", [False, True])
def test_the_disk_s_own_error_is_put_in_words(tmp_path, wrapped):
    error: Exception = OSError(errno.ENOSPC, "No space left on device")
    if wrapped:
        outer = RuntimeError("a dataset failed")
        outer.__cause__, error = error, outer
    with pytest.raises(EndlineError, match=r"a.txt could not be written \(No space left on device\): free or unlock"):
        failing(tmp_path / "a.txt", error)


def test_a_sentence_stays_that_sentence(tmp_path):
    words = EndlineError("my words")
    words.__cause__ = OSError(errno.EIO, "broken")
    with pytest.raises(EndlineError, match="my words"):
        failing(tmp_path / "a.txt", words)


HOLD = """
import sys, time
from pathlib import Path
from endline.files import locked
with locked(Path(sys.argv[1]), shared=sys.argv[2] == "shared"):
    print("held", flush=True)
    input()
"""
COUNT = """
import sys
from pathlib import Path
from endline.files import locked
file = Path(sys.argv[1])
for _ in range(200):
    with locked(file.with_name("lock")):
        file.write_text(str(int(file.read_text()) + 1))
"""


@contextmanager
def holder(lock, how="alone"):
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, lock, how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    try:
        yield process
    finally:
        process.communicate("\n" if process.poll() is None else None)


def test_a_lock_keeps_processes_apart_though_its_file_goes_each_time(tmp_path):
    file = tmp_path / "count"
    file.write_text("0")
    processes = [subprocess.Popen([sys.executable, "-c", COUNT, file]) for _ in range(3)]
    assert [each.wait() for each in processes] == [0, 0, 0]
    assert file.read_text() == "600"
    assert [path.name for path in tmp_path.iterdir()] == ["count"]


def test_a_shared_lock_keeps_out_who_wants_it_alone(tmp_path):
    lock = tmp_path / "lock"
    with holder(lock, "shared"):
        with locked(lock, "busy", shared=True):
            pass
        assert lock.exists()  # it is held still
        with pytest.raises(EndlineError, match="busy"), locked(lock, "busy"):
            pass
    with locked(lock, "busy"):
        pass
    assert not lock.exists()


def test_a_killed_process_holds_no_lock_and_its_file_goes(tmp_path):
    lock, held = tmp_path / ".dead.lock", tmp_path / ".living.lock"
    with holder(lock) as process:
        process.kill()
        process.wait()
    assert lock.exists()
    with holder(held):
        clear_partials(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".living.lock"]


def test_a_folder_that_allows_no_lock_is_told(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(EndlineError, match=r"file/lock could not be written .*: make its folder writable"),
        locked(tmp_path / "file/lock"),
    ):
        pass


def test_no_two_writers_share_a_temporary_name(tmp_path):
    names = {partial_name(tmp_path / "scores.csv") for _ in range(100)}
    assert len(names) == 100
    assert {path.suffix for path in names} == {".csv"}
    assert {Owner.read(path.name) for path in names} == {Owner.current()}


def test_a_file_lies_once_under_two_names_or_is_copied_where_that_cannot_be(tmp_path, monkeypatch):
    write_whole(tmp_path / "a", "content")
    link(tmp_path / "a", tmp_path / "deep/b")
    assert (tmp_path / "deep/b").samefile(tmp_path / "a")

    def refused(*names):
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr("endline.files.os.link", refused)
    link(tmp_path / "a", tmp_path / "c")
    assert not (tmp_path / "c").samefile(tmp_path / "a")
    assert (tmp_path / "c").read_text() == "content"
