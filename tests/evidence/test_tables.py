"""Tables as users export them: every kind is read as text, and numbers are right or refused by name."""

import io
import zipfile
from datetime import datetime, timedelta

import numpy as np
import openpyxl
import pandas as pd
import pytest

from endline.errors import EndlineError, FileRejected
from endline.evidence.numerals import as_numbers, holds_numbers
from endline.evidence.tables import read_table

PLAIN = "time,force,label\n0.01,1.5,007\n0.02,-2.5,Größe\n"
GERMAN = "time;force;label\r\n0,01;1,5;007\r\n0,02;-2,5;Größe\r\n"


def written(tmp_path, content: bytes | str, name: str = "table.csv"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def workbook(tmp_path, *rows, formats=(), sheets=()):
    book = openpyxl.Workbook()
    for row in rows:
        book.active.append(row)
    for cell, shown in formats:
        book.active[cell].number_format = shown
    for title, content in sheets:
        book.create_sheet(title).append(content)
    book.save(tmp_path / "table.xlsx")
    return tmp_path / "table.xlsx"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace(",", "|"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", ", "),
        PLAIN.replace("\n", ",\n"),
        PLAIN.replace("\n", "\n\n"),
        "sep=,\n" + PLAIN,
        GERMAN,
        "sep=;\r\n" + GERMAN,
        GERMAN.replace(";", "\t"),
        GERMAN.encode("cp1252"),
        GERMAN.encode("utf-16"),
        GERMAN.encode("utf-16-le"),
        GERMAN.encode("utf-16-be"),
        "time;force;label\n[s];[N];\n" + GERMAN.split("\r\n", 1)[1],
        "time;force;label\ns;N;-\n" + GERMAN.split("\r\n", 1)[1],
        '"time","force","label"\n"0,01","1,5","007"\n"0,02","-2,5","Größe"\n',
        ",time,force,label\n0,0.01,1.5,007\n1,0.02,-2.5,Größe\n",
    ],
)
def test_every_kind_of_csv_gives_the_same_text_and_numbers(tmp_path, content):
    table = read_table(written(tmp_path, content))
    assert table.columns.tolist() == ["time", "force", "label"]
    assert table["label"].tolist() == ["007", "Größe"]
    numbers = as_numbers(table, ["time", "force"])
    assert numbers.dtypes.tolist() == [np.float64, np.float64]
    assert numbers.to_numpy().tolist() == [[0.01, 1.5], [0.02, -2.5]]


def test_units_below_the_names_are_kept_apart_and_rows_keep_their_numbers(tmp_path):
    table = read_table(written(tmp_path, "sep=;\ntime;force\nms;[kN]\n\n1;2\n"))
    assert table.attrs["units"] == {"time": "ms", "force": "kN"}
    assert table.index.tolist() == [5]
    labels = read_table(written(tmp_path, "recording;fault\na.wav;normal\nb.wav;1\n"))
    assert labels["fault"].tolist() == ["normal", "1"]
    assert labels.attrs["units"] == {}


@pytest.mark.parametrize(
    ("cells", "meant"),
    [
        (["1,234.5", "999.5"], [1234.5, 999.5]),
        (["1.234,5", "999,5"], [1234.5, 999.5]),
        (["1.234", "2,5"], [1234, 2.5]),
        (["1,234", "2.5"], [1234, 2.5]),
        (["1,234,567", "1,234"], [1234567, 1234]),
        (["1.234.567", "1.234"], [1234567, 1234]),
        (["0,123", "1,234"], [0.123, 1.234]),
        (["1234,567", "1,234"], [1234.567, 1.234]),
        (["1.234", "5.678"], [1.234, 5.678]),
        (["1 234,5", "1\u202f234"], [1234.5, 1234]),
        (["1'234.5", "−3"], [1234.5, -3]),
        (["1e-3", "+.5"], [0.001, 0.5]),
        (["1,5E-3", ""], [0.0015, np.nan]),
        (["NaN", "n/a"], [np.nan, np.nan]),
        (["2147483649", "9007199254740991"], [2147483649, 9007199254740991]),
    ],
)
def test_numbers_mean_what_their_writer_meant(cells, meant):
    assert as_numbers(pd.DataFrame({"a": cells}), ["a"])["a"].tolist() == pytest.approx(meant, rel=0, nan_ok=True)


def test_other_columns_say_what_a_comma_means():
    table = pd.DataFrame({"time": ["0,010", "0,020"], "a": ["1,234", "2,345"]})
    assert as_numbers(table, ["time", "a"])["a"].tolist() == [1.234, 2.345]
    table = pd.DataFrame({"time": ["0.01", "0.02"], "a": ["1,234", "2,345"]})
    assert as_numbers(table, ["time", "a"])["a"].tolist() == [1234, 2345]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"a": ["1", "1,234"]}, r"'a' in row 1 is '1,234', which may be 1\.234 or 1234"),
        ({"time": ["0,01"], "a": ["1.234"]}, r"'a' in row 0 is '1\.234', which may be 1\.234 or 1234"),
        ({"a": ["1,5", "1.5"]}, r"'a' has a decimal comma and a decimal point, row 0: '1,5'"),
        ({"a": ["1", "high"]}, "'a' in row 1 is 'high', which is no number"),
        ({"a": ["1", "0x10"]}, "'a' in row 1 is '0x10', which is no number"),
        ({"a": ["1", "1_000"]}, "'a' in row 1 is '1_000', which is no number"),
        ({"a": ["1", "12,34,5"]}, "'a' in row 1 is '12,34,5', which is no number"),
        ({"a": ["1", "2 V"]}, "'a' in row 1 is '2 V', which is no number"),
    ],
)
def test_cells_that_are_no_number_or_ambiguous_are_named(table, said):
    with pytest.raises(FileRejected, match=said):
        as_numbers(pd.DataFrame(table), list(table))


def test_the_row_in_a_sentence_is_that_of_the_file(tmp_path):
    table = read_table(written(tmp_path, "sep=;\na;b\n1;2\n\n1;x\n"))
    with pytest.raises(FileRejected, match="'b' in row 5 is 'x', which is no number"):
        as_numbers(table, ["a", "b"])


def test_a_column_of_text_alone_holds_no_numbers():
    assert not holds_numbers(pd.Series(["ok", "run"]))
    assert holds_numbers(pd.Series(["ok", "-1,5"]))
    assert holds_numbers(pd.Series(["", "NaN"]))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", r"the file is empty \(0 bytes\): export it again"),
        (b" \n\n", "the file is blank"),
        (b"\x00\xff\xfe\x01", "no table of comma-separated values"),
        (b"a,b\n1,2\n1,2,3\n", "row 3 has 3 cells, the first one 2"),
        (b"sep=;\na;b\n1;2\n1;2;3\n", "row 4 has 3 cells, the first one 2"),
        (b"a,a\n1,2\n", "two columns are named 'a'"),
        (b"a,,b\n1,7,2\n1,9,2\n", "its column 2 has no name in row 1"),
        (b"PK\x03\x04 cut", "the Excel file is damaged or cut short"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an Excel file of the old format, or one with a password: save it as .xlsx"),
    ],
)
def test_what_is_no_table_is_refused_for_its_true_reason(tmp_path, content, said):
    with pytest.raises(FileRejected, match=said):
        read_table(written(tmp_path, content))


def test_a_workbook_is_text_as_it_is_shown(tmp_path, caplog):
    when = datetime(2024, 5, 1, 12, 0, 0, 250000)
    path = workbook(
        tmp_path,
        ["time", "force", "label", "other", "good"],
        [when, 1.5, 7, "007", True],
        [when + timedelta(seconds=1), -2, 12, "a", False],
        formats=[("C2", "000"), ("C3", "000")],
        sheets=[("notes", ["x"])],
    )
    table = read_table(path)
    assert table["time"].tolist() == ["2024-05-01T12:00:00.250000", "2024-05-01T12:00:01.250000"]
    assert table[["label", "other", "good"]].to_numpy().tolist() == [["007", "007", "TRUE"], ["012", "a", "FALSE"]]
    assert as_numbers(table, ["force"])["force"].tolist() == [1.5, -2]
    assert table.index.tolist() == [2, 3]
    assert "the sheet 'Sheet' is read and 'notes' is not" in caplog.text


def test_an_archive_or_a_damaged_workbook_is_refused(tmp_path):
    path = workbook(tmp_path, ["a"], [1])
    cut = path.read_bytes()
    with pytest.raises(FileRejected, match="the Excel file is damaged or cut short"):
        read_table(written(tmp_path, cut[: len(cut) // 2], "cut.xlsx"))
    with zipfile.ZipFile(tmp_path / "other.xlsx", "w") as archive:
        archive.writestr("a.txt", "x")
    with pytest.raises(FileRejected, match="it is an archive, not a table"):
        read_table(tmp_path / "other.xlsx")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "bad.xlsx", "w") as new:
        for part in old.namelist():
            content = old.read(part)
            new.writestr(part, content[: len(content) // 2] if "sheet1" in part else content)
    with pytest.raises(FileRejected, match="the Excel file is damaged or cut short"):
        read_table(tmp_path / "bad.xlsx")


def test_a_table_beyond_the_limit_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("ENDLINE_TABLE_LIMIT", "1")
    large = written(tmp_path, b"a,b\n" + b"1,2\n" * 300_000)
    said = r"it would take 1\.2 MB, more than the 1 MB that one table may: .*raise the limit \(ENDLINE_TABLE_LIMIT=2"
    with pytest.raises(FileRejected, match=said):
        read_table(large)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("xl/workbook.xml", b" " * 3_000_000)
    with pytest.raises(FileRejected, match="it would take 3 MB"):
        read_table(written(tmp_path, bomb.getvalue(), "bomb.xlsx"))
    monkeypatch.setenv("ENDLINE_TABLE_LIMIT", "2")
    assert len(read_table(large)) == 300_000
    monkeypatch.setenv("ENDLINE_TABLE_LIMIT", "much")
    with pytest.raises(EndlineError, match="ENDLINE_TABLE_LIMIT=much is no size: give a number of MB"):
        read_table(large)
