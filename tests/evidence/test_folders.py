"""What lies in a raw folder: nothing vanishes, nothing blocks, and trash is no data."""

import os
import socket
from pathlib import Path

import pytest

from endline.errors import EndlineError
from endline.evidence.folders import kind_of_folders, left_out, list_folder, printable, visible_files
from endline.evidence.labels import check_words, own_labels

ENDINGS = (".wav",)


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(folder: Path) -> list[str]:
    return [path.relative_to(folder).as_posix() for path in visible_files(folder, ENDINGS)]


@pytest.mark.parametrize(
    "trash",
    [
        *(".ipynb_checkpoints", "__MACOSX", ".Trash-1000", "@eaDir", "lost+found", "$RECYCLE.BIN", "#recycle"),
        *("System Volume Information", "__pycache__"),
    ],
)
def test_trash_folders_are_no_data(tmp_path, trash):
    touch(tmp_path / "normal/a.wav", tmp_path / trash / "b.wav", tmp_path / "normal" / trash / "deep/c.wav")
    touch(tmp_path / "Thumbs.db", tmp_path / "desktop.ini", tmp_path / "normal/._a.wav", tmp_path / "~$labels.xlsx")
    assert names(tmp_path) == ["normal/a.wav"]
    assert list(left_out(tmp_path, list_folder(tmp_path), ["normal/a.wav"], ENDINGS, "WAV")) == []


def test_linked_folders_and_files_are_read_and_loops_told(tmp_path):
    touch(tmp_path / "elsewhere/deep/a.wav", tmp_path / "raw/normal/b.wav")
    (tmp_path / "raw/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "raw/c.wav").symlink_to(tmp_path / "raw/normal/b.wav")
    (tmp_path / "raw/normal/up").symlink_to(tmp_path / "raw")
    listing = list_folder(tmp_path / "raw")
    assert names(tmp_path / "raw") == ["c.wav", "linked/deep/a.wav", "normal/b.wav"]
    assert listing.rejected == [("normal/up", "a link back to a folder above it", "delete the link")]


def test_two_links_to_one_folder_are_no_loop(tmp_path):
    touch(tmp_path / "elsewhere/a.wav")
    for name in ("x", "y"):
        (tmp_path / "raw" / name).mkdir(parents=True)
        (tmp_path / "raw" / name / "link").symlink_to(tmp_path / "elsewhere")
    assert names(tmp_path / "raw") == ["x/link/a.wav", "y/link/a.wav"]


def test_what_is_no_file_is_a_row_and_never_opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    os.mkfifo("a.wav")
    Path("b.wav").symlink_to("nowhere")
    Path("c.wav").symlink_to("c.wav")
    touch(Path("d.wav/inside.wav"))
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("e.wav")
        listing = list_folder(tmp_path, ENDINGS)
    odd = ("neither a file nor a folder, but a pipe, socket or device", "take it away")
    lost = ("a link to something that is not there", "restore what it leads to, or delete the link")
    assert listing.files == []
    assert listing.rejected == [
        ("a.wav", *odd),
        ("b.wav", *lost),
        ("c.wav", *lost),
        ("d.wav", "a folder, named like a file of data", "rename it"),
        ("e.wav", *odd),
    ]


def test_a_name_that_is_no_utf8_is_a_row(tmp_path):
    touch(tmp_path / "good.wav", tmp_path / os.fsdecode(b"M\xfcll.wav"), tmp_path / os.fsdecode(b"d\xff") / "a.wav")
    listing = list_folder(tmp_path)
    assert [path.name for path in listing.files] == ["good.wav"]
    assert [(printable(name), *why) for name, *why in listing.rejected] == [
        ("M\\xfcll.wav", "its name is no UTF-8", "rename it"),
        ("d\\xff", "its name is no UTF-8", "rename it"),
    ]


def test_a_folder_that_cannot_be_read_is_a_row(tmp_path, monkeypatch):
    def denied(path):
        if Path(path).name == "secret":
            raise PermissionError(13, "Permission denied")
        return original(path)

    original = os.scandir
    touch(tmp_path / "secret/a.wav", tmp_path / "b.wav")
    monkeypatch.setattr(os, "scandir", denied)
    listing = list_folder(tmp_path)
    assert [path.name for path in listing.files] == ["b.wav"]
    assert listing.rejected == [
        ("secret", "the folder cannot be read (Permission denied)", "check its rights and the disk")
    ]


def test_files_of_other_endings_are_rows_and_side_files_are_not(tmp_path):
    touch(
        *(tmp_path / name for name in ("a.WAV", "b.m4a", "c.xlsx", "d.wav2", "e", "normal/Labels.CSV", "normal/f.wav"))
    )
    touch(*(tmp_path / name for name in ("README", "LICENSE.txt", "units.csv", "simulation.json", "attributes_00.csv")))
    rows = list(left_out(tmp_path, list_folder(tmp_path), ["a.WAV"], ENDINGS, "WAV or FLAC"))
    remedy = "export it as WAV or FLAC, or take it away"
    assert rows == [
        ("b.m4a", "the ending '.m4a' is not one that is read here", remedy),
        ("c.xlsx", "the ending '.xlsx' is not one that is read here", remedy),
        ("d.wav2", "the ending '.wav2' is not one that is read here", remedy),
        ("e", "no ending is not one that is read here", remedy),
        (
            "normal/Labels.CSV",
            "no table of labels is read here",
            "put the files into one folder a kind, or delete the table",
        ),
        (
            "normal/f.wav",
            "it lies outside the folders that are read",
            "move it into one of them, or take it away",
        ),
    ]


@pytest.mark.parametrize(
    ("folders", "kind"),
    [
        ((), None),
        (("normal",), "normal"),
        (("healthy", "scratch"), "normal"),
        (("i.O.",), "normal"),
        (("unknown",), None),
        (("scratch", "deep"), "scratch"),
        (("abnormal",), "abnormal"),
        (("Abnormal", "dent", "deep"), "dent"),
        (("abnormal", "good"), "abnormal"),
        (("line_3", "normal"), "line_3/normal"),  # which `check_words` asks about
        (("normal_test",), "normal_test"),
    ],
)
def test_kinds_by_folders(folders, kind):
    assert kind_of_folders(folders) == kind


def test_own_words_may_be_folders_in_folders():
    own = own_labels({"line_3/normal": "normal", "line_4": "scratch"})
    assert kind_of_folders(("line_3", "normal"), own) == "normal"
    assert kind_of_folders(("line_3", "dent"), own) == "line_3"
    assert kind_of_folders(("line_4", "normal"), own) == "scratch"


@pytest.mark.parametrize("inside", ["faulty", "NOK", "n.i.O.", "not ok", "Ausschuss"])
def test_faulty_ones_in_a_folder_of_normal_ones_are_asked_about(inside):
    kind = kind_of_folders(("good", inside, "line_3"))
    assert kind == f"good/{inside}"
    with pytest.raises(EndlineError, match=f"good/{inside}"):
        check_words([kind], "raw")
    assert kind_of_folders(("good", "2024-05-01", "line_3")) == "normal"
    assert kind_of_folders(("good", inside), own_labels({f"good/{inside}": "normal"})) == "normal"
