"""The label table: which file a row means, what its words mean, and what contradicts itself."""

import logging
import os
from pathlib import Path

import pandas as pd
import pytest

from endline.errors import EndlineError
from endline.evidence.label_table import Labelled, find_label_table, read_label_table
from endline.evidence.labels import own_labels

NAMES = ["a.wav", "b.wav", "deep/c.wav", "deep/d.WAV", "deep/a2.wav", "x/same.wav", "y/same.wav"]
DATA = Path(os.environ.get("ENDLINE_DATA") or Path(__file__).parents[2] / "../shared/data")


def read(folder: Path, *rows: str, header: str = "recording,fault", own: dict | None = None) -> Labelled:
    (folder / "labels.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return read_label_table(folder / "labels.csv", NAMES, own_labels(own))


def refused(folder: Path, *rows: str, **options) -> str:
    with pytest.raises(EndlineError) as caught:
        read(folder, *rows, **options)
    return str(caught.value)


@pytest.mark.parametrize("word", ["0.0", "pass", "i.O.", "Gut", "healthy", "false"])
def test_words_for_normal_are_no_kinds_of_fault(tmp_path, word):
    assert read(tmp_path, f"a.wav,{word}", "b.wav,7").kinds == {"a.wav": "normal", "b.wav": "7"}


@pytest.mark.parametrize("word", ["NA", "nan", "?", "", "  ", "-"])
def test_words_for_unknown_are_no_kinds_of_fault(tmp_path, word):
    assert read(tmp_path, "a.wav,0", f"b.wav,{word}").kinds == {"a.wav": "normal", "b.wav": None}


def test_doubtful_words_are_told_and_can_be_mapped(tmp_path):
    rows = ("a.wav,0", "b.wav,normal_2", "deep/c.wav,true")
    assert refused(tmp_path, *rows) == (
        f"{tmp_path}/labels.csv labels with words that may mean a fault or not: 'normal_2' (1), 'true' (1). Say what "
        "each means by the setting labels: {'normal_2': ..., 'true': ...} (normal, unknown, or the kind of fault; in "
        "the station's YAML, or --params=labels.<word>=normal), or rename them."
    )
    kinds = read(tmp_path, *rows, own={"normal_2": "normal", True: "scratch"}).kinds
    assert kinds == {"a.wav": "normal", "b.wav": "normal", "deep/c.wav": "scratch"}


def test_a_table_without_a_normal_word_names_its_words(tmp_path):
    assert refused(tmp_path, "a.wav,Serie", "b.wav,Serie", "deep/c.wav,7") == (
        f"{tmp_path}/labels.csv labels no recording as normal, and endline learns from good parts only; its words are "
        "'Serie' (2), '7' (1): label good ones '0' or 'normal', or name the word for them by the setting labels "
        "(--params=labels.<word>=normal)."
    )
    kinds = read(tmp_path, "a.wav,Serie", "b.wav,7", own={"serie": "normal"}).kinds
    assert kinds == {"a.wav": "normal", "b.wav": "7"}


def test_a_fault_that_most_have_is_a_warning(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "endline"):
        kinds = read(tmp_path, "a.wav,0", "b.wav,Serie", "deep/c.wav,Serie").kinds
    assert kinds["b.wav"] == "Serie"
    assert caplog.messages == [
        f"'Serie' counts as a kind of fault, and 2 of the 3 labelled recordings of {tmp_path}/labels.csv have it: if "
        "it means good ones, say so by the setting labels (--params=labels.<word>=normal)."
    ]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "endline"):
        read(tmp_path, "a.wav,0", "b.wav,Serie", "deep/c.wav,Serie", own={"Serie": "Serie"})
    assert caplog.messages == []


def test_rows_that_contradict_each_other_are_left_out_by_name(tmp_path):
    found = read(tmp_path, "a.wav,0", "b.wav,normal", "b.wav,7", "deep/c.wav,7", "c.wav,2")
    assert found.kinds == {"a.wav": "normal"}
    remedy = "keep the right line and delete the others"
    assert found.rejected == [
        ("b.wav", "labels.csv contradicts itself (normal in row 3, 7 in row 4)", remedy),
        ("deep/c.wav", "labels.csv contradicts itself (7 in row 5, 2 in row 6)", remedy),
    ]


def test_a_fault_and_unknown_contradict_each_other(tmp_path):
    found = read(tmp_path, "a.wav,0", "b.wav,7", "b.wav,?")
    assert found.kinds == {"a.wav": "normal"}
    assert found.rejected[0][1] == "labels.csv contradicts itself (7 in row 3, unknown in row 4)"


def test_rows_that_say_the_same_in_other_words_agree(tmp_path):
    found = read(tmp_path, "a.wav,0", "a.wav,i.O.", "b.wav,Scratch", "b.wav,scratch ", "deep/c.wav,SCRATCH")
    assert found == Labelled({"a.wav": "normal", "b.wav": "Scratch", "deep/c.wav": "Scratch"}, [])


@pytest.mark.parametrize(
    "written", ["deep/d.WAV", r"deep\d.WAV", "./deep/d.WAV", r".\deep\d.wav", "d.WAV", "D.wav", " Deep/D.wav "]
)
def test_the_ways_to_name_a_file(tmp_path, written):
    assert read(tmp_path, "a.wav,0", f"{written},7") == Labelled({"a.wav": "normal", "deep/d.WAV": "7"}, [])


def test_accents_may_be_encoded_in_both_ways(tmp_path):
    (tmp_path / "labels.csv").write_text("recording,fault\nGer\u00e4t.wav,0\n", encoding="utf-8")
    assert read_label_table(tmp_path / "labels.csv", ["Gera\u0308t.wav"]).kinds == {"Gera\u0308t.wav": "normal"}


def test_a_name_written_just_so_comes_before_one_in_another_case(tmp_path):
    (tmp_path / "labels.csv").write_text("recording,fault\na.wav,0\nA.wav,7\n")
    assert read_label_table(tmp_path / "labels.csv", ["a.wav", "A.wav"]).kinds == {"a.wav": "normal", "A.wav": "7"}


def test_rows_that_name_no_file_or_several(tmp_path):
    found = read(tmp_path, "a.wav,0", "lost.wav,0", "same.wav,0", ",7", ",")
    assert found.kinds == {"a.wav": "normal"}
    assert found.rejected == [
        ("lost.wav", "labels.csv names it, but there is no such file", "restore it or delete the line"),
        ("same.wav", "labels.csv names it, but 2 files have this name", "write its path in the folder"),
        ("labels.csv", "row 5 labels no recording", "write the recording's name there, or delete the row"),
    ]


@pytest.mark.parametrize("header", ["recording,fault", "Recording , FAULT", "recording,fault,note"])
def test_headers(tmp_path, header):
    more = ",x" if "note" in header else ""
    assert read(tmp_path, f"a.wav,0{more}", header=header).kinds == {"a.wav": "normal"}


def test_a_column_twice_is_told(tmp_path):
    said = refused(tmp_path, "a.wav,0,7", header="recording,fault,Fault")
    assert said == f"{tmp_path}/labels.csv has 2 columns 'fault': keep the right one."


def test_several_tables_and_none(tmp_path):
    assert find_label_table(tmp_path) is None
    (tmp_path / "Labels.CSV").touch()
    assert find_label_table(tmp_path) == tmp_path / "Labels.CSV"
    (tmp_path / "labels.xlsx").touch()
    with pytest.raises(EndlineError, match=r"holds several tables of labels \(Labels\.CSV, labels\.xlsx\): keep the"):
        find_label_table(tmp_path)


def test_a_table_that_is_no_file_is_told_and_not_opened(tmp_path):
    os.mkfifo(tmp_path / "labels.csv")
    with pytest.raises(EndlineError, match=r"labels\.csv is no file, or a link to something that is not there"):
        find_label_table(tmp_path)


@pytest.mark.skipif(
    not (DATA / "mirror_motor").is_dir(), reason="no mirror_motor: name the folder above it in ENDLINE_DATA"
)
def test_the_real_table_has_faults_named_by_numbers(caplog):
    folder = DATA / "mirror_motor"
    names = [path.relative_to(folder).as_posix() for path in sorted(folder.rglob("*.wav"))]
    with caplog.at_level(logging.WARNING, "endline"):
        found = read_label_table(folder / "labels.csv", names)
    kinds = list(found.kinds.values())
    counts = {kind: kinds.count(kind) for kind in sorted(set(kinds))}
    assert counts == {"1": 42, "1*": 42, "2": 42, "7": 44, "normal": 42}
    assert found.rejected == []
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("labels.csv", "recording;fault\na.wav;0\nb.wav;Geräusch\n".encode("latin-1")),
        ("labels.csv", "sep=;\nrecording;fault\na.wav;0\nb.wav;Geräusch\n".encode("utf-8-sig")),
        ("labels.csv", "recording\tfault\r\na.wav\t0\r\nb.wav\tGeräusch\r\n".encode("utf-16")),
        ("labels.tsv", "recording\tfault\na.wav\t0\nb.wav\tGeräusch\n".encode()),
    ],
)
def test_tables_of_any_spreadsheet(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    path = find_label_table(tmp_path)
    assert path is not None
    assert read_label_table(path, NAMES).kinds == {"a.wav": "normal", "b.wav": "Geräusch"}


def test_a_workbook(tmp_path):
    rows = {"Recording": ["a.wav", "b.wav", "c.wav", "a2.wav"], "Fault": [0, 7, None, False]}
    pd.DataFrame(rows, dtype=object).to_excel(tmp_path / "labels.xlsx", index=False)
    path = find_label_table(tmp_path)
    assert path is not None
    kinds = {"a.wav": "normal", "b.wav": "7", "deep/c.wav": None, "deep/a2.wav": "normal"}
    assert read_label_table(path, NAMES).kinds == kinds


def test_rows_are_counted_as_the_file_has_them(tmp_path):
    found = read(tmp_path, "", "a.wav,0", "", "", "b.wav,7", "b.wav,2")
    assert found.rejected[0][1] == "labels.csv contradicts itself (7 in row 6, 2 in row 7)"


def test_a_table_that_cannot_be_read_is_told(tmp_path):
    (tmp_path / "labels.xlsx").write_bytes(b"PK\x03\x04 cut short")
    with pytest.raises(EndlineError) as caught:
        read_label_table(tmp_path / "labels.xlsx", NAMES)
    assert str(caught.value) == (
        f"{tmp_path}/labels.xlsx cannot be read (the Excel file is damaged or cut short): copy it again from its "
        "source, or save it as CSV."
    )
