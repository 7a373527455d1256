"""Where raw files are found: a linked folder holds them, what is hidden does not."""

from pathlib import Path

import pytest

from endline.evidence.raw_folder import locate_raw


@pytest.fixture
def located(tmp_path, monkeypatch):
    """The station's own folder, and what is located for it: itself, or the simulated one."""
    monkeypatch.delenv("ENDLINE_DATA", raising=False)
    own = tmp_path / "own"
    own.mkdir()
    run = {"raw": None, "raw_default": str(own), "raw_simulated": str(tmp_path / "simulated"), "data_set": "none"}
    return own, lambda: Path(locate_raw(run, lambda folder, progress: folder)["folder"]).name


def test_hidden_files_and_trash_are_no_raw_files(located):
    own, found = located
    (own / "__MACOSX").mkdir()
    for name in (".gitkeep", ".DS_Store", "Thumbs.db", "__MACOSX/a.wav"):
        (own / name).touch()
    assert found() == "simulated"
    (own / "a.wav").touch()
    assert found() == "own"


def test_raw_files_may_lie_in_a_linked_folder(located, tmp_path):
    own, found = located
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/a.wav").touch()
    (own / "linked").symlink_to(tmp_path / "elsewhere")
    assert found() == "own"
