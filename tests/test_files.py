"""Files appear whole or not at all, and equal contents have equal keys."""

import errno

import pytest

from endline.errors import EndlineError
from endline.files import content_key, whole, write_whole


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
