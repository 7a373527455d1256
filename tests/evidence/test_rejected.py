"""Files that are left out: what is said of them, and what of many at once."""

import logging
from pathlib import Path

import pandas as pd
import pytest

from endline.errors import EndlineError
from endline.evidence.rejected import Rejections, after_rejections

SILENT = ("the recording is silent", "check the microphone and record it again")


def rejections(*rows: tuple[str, str, str]) -> Rejections:
    return Rejections(Path("/raw"), "recording", rows)


def test_none_usable_is_told_with_the_most_frequent_reason():
    rows = [("a.wav", "it is empty", "record it again"), *((f"b{n}.wav", *SILENT) for n in range(42))]
    with pytest.raises(EndlineError) as caught:
        rejections(*rows).table(43, usable=False)
    assert str(caught.value) == (
        "None of the 43 recordings in /raw can be used; 42 such as b0.wav: the recording is silent (check the "
        "microphone and record it again)."
    )


def test_reasons_that_differ_by_a_number_alone_are_one():
    rows = [("a.wav", "it is empty", "record it again"), ("b.wav", "it is empty", "record it again")]
    rows += [(f"c{n}.wav", f"{n}.5 % are clipped", "lower the gain") for n in range(3)]
    with pytest.raises(EndlineError, match=r"; 3 such as c0\.wav: 0\.5 % are clipped \(lower the gain\)\.$"):
        rejections(*rows).table(5, usable=False)


def test_of_equally_frequent_reasons_the_first_is_told():
    rows = [("z.wav", "zero", "mend it"), ("a.wav", "another", "mend it")]
    with pytest.raises(EndlineError, match=r"can be used; z\.wav: zero \(mend it\)\.$"):
        rejections(*rows).table(2, usable=False)


def test_many_of_one_reason_are_one_line_of_the_log_and_a_row_each(caplog):
    rows = [("a.wav", "it is empty", "record it again"), *((f"b{n}.wav", *SILENT) for n in range(42))]
    with caplog.at_level(logging.WARNING, "endline"):
        table = rejections(*rows).table(50, usable=True)
    assert table["path"].tolist() == ["a.wav", *(f"b{n}.wav" for n in range(42))]
    assert caplog.messages == [
        "Left out a.wav: it is empty; record it again.",
        "Left out b0.wav and 41 more: the recording is silent; check the microphone and record it again.",
    ]


def test_names_that_cannot_be_printed_are_escaped(tmp_path):
    table = rejections(("a\udcff\n.wav", *SILENT)).table(2, usable=True)
    assert table["path"].tolist() == ["a\\xff\\n.wav"]
    table.to_parquet(tmp_path / "rejected.parquet")


def test_too_few_items_are_told_after_what_was_left_out():
    table = pd.DataFrame([(f"b{n}.wav", *SILENT) for n in range(42)], columns=["path", "reason", "remedy"])
    with pytest.raises(EndlineError) as caught, after_rejections(table):
        raise EndlineError("1 normal item(s) would train, at least 3 are needed: record more.")
    assert str(caught.value) == (
        "42 files were left out; 42 such as b0.wav: the recording is silent (check the microphone and record it "
        "again). 1 normal item(s) would train, at least 3 are needed: record more."
    )


def test_nothing_is_added_where_nothing_was_left_out():
    with pytest.raises(EndlineError, match=r"^Too few\.$"), after_rejections(rejections().table(3, usable=True)):
        raise EndlineError("Too few.")
