"""The table of verdicts: what is read is what was written, and nobody else's table is written over."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from endline.errors import EndlineError
from endline.files import locked
from endline.operations import verdict_file as module
from endline.operations.verdict_file import VerdictFile, read_verdicts, verdict_file
from endline.operations.verdicts import COLUMNS, Verdict, verdict_table

RUN, STATION = "2026-11-27T10.00.00.000Z", "scales"


def verdict(path: str, score: float = 1.0, *, digest: str = "e3", run: str = RUN) -> Verdict:
    return Verdict(path, path, digest, "normal", score, 1 / 3, False, None, run, STATION)


def refused(path: str) -> Verdict:
    return Verdict.refused(path, path, "e3", f'{path}: it is empty:\n"record" it, again.', RUN, STATION)


@pytest.mark.parametrize("name", ["verdicts.csv", "verdicts.parquet", "deep/VERDICTS.CSV"])
def test_what_is_read_is_what_was_written_to_the_last_digit(tmp_path: Path, name: str) -> None:
    numbers = [0.1 + 0.2, -1e-300, 5e-324, 123456789.123456789, math.pi * 1e22, float(np.float32(0.1))]
    rows = [verdict(f"{number}.json", number) for number in numbers]
    rows += [verdict(odd) for odd in ("NA", "null", "a,b\n.json", 'say "so".json', "übel.json")] + [refused("bad.json")]
    with verdict_file(tmp_path / name, STATION, RUN, sort=False) as table:
        for row in rows:
            table.add([row])
    assert [repr(row) for row in read_verdicts(tmp_path / name)] == [repr(row) for row in rows]
    assert [path.name for path in (tmp_path / name).parent.iterdir()] == [Path(name).name]  # no lock, nothing partial


def test_rows_are_in_the_order_of_their_paths_or_of_their_coming(tmp_path: Path) -> None:
    for sort, expected in ((True, ["a", "b"]), (False, ["b", "a"])):
        with verdict_file(tmp_path / f"{sort}.csv", STATION, RUN, sort=sort) as table:
            table.add([verdict("b")])
            table.add([verdict("a")])
        assert [row.path for row in read_verdicts(tmp_path / f"{sort}.csv")] == expected


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (
            "a,b\n1,2\n",
            "v.csv is no table of verdicts, its columns are a, b: move it away, or write to another --output.",
        ),
        ("", "v.csv cannot be read (No columns to parse from file): move it away, or write to another --output."),
        (
            f"{','.join(COLUMNS)}\na,a,e3,fine,1,1,False,,{RUN},{STATION}\n",
            "v.csv holds the verdict 'fine', which nobody gives: move it away, or write to another --output.",
        ),
        (
            f"{','.join(COLUMNS)}\na,a,e3,normal,1,1,False,,old,{STATION}\n",
            f"v.csv holds verdicts of the run old, and {RUN} judges now: write to another --output, or judge by that "
            "run (--run=old).",
        ),
        (
            f"{','.join(COLUMNS)}\na,a,e3,normal,1,1,False,,old,mirror_audio\n",
            "v.csv holds verdicts of the station mirror_audio, and scales judges now: write to another --output.",
        ),
    ],
)
def test_another_table_is_not_written_over(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "v.csv"
    path.write_text(content)
    with pytest.raises(EndlineError) as caught, verdict_file(path, STATION, RUN):
        pass
    assert str(caught.value).replace(f"{tmp_path}/", "") == said
    assert path.read_text() == content


def test_a_damaged_parquet_file_and_another_ending_are_sentences(tmp_path: Path) -> None:
    path = tmp_path / "v.parquet"
    verdict_table([verdict("a")]).to_parquet(path)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(EndlineError, match=r"v\.parquet cannot be read \(.*\): move it away"):
        read_verdicts(path)
    with pytest.raises(
        EndlineError, match=r"v\.xlsx is no table of verdicts by its ending: write to \.parquet or \.csv"
    ):
        read_verdicts(tmp_path / "v.xlsx")


def test_two_processes_do_not_write_one_table(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"
    with (
        locked(tmp_path / ".v.csv.lock"),
        pytest.raises(
            EndlineError, match=r"Another process writes .*v\.csv: wait for it, or write to another --output"
        ),
        verdict_file(path, STATION, RUN),
    ):
        pass
    assert not path.exists()


def test_whatever_ends_the_work_what_was_judged_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "v.csv"

    def interrupted() -> None:
        with verdict_file(path, STATION, RUN) as table:
            table.add([verdict("a")])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert [row.path for row in read_verdicts(path)] == ["a"]


def test_a_file_is_known_by_its_path_and_content() -> None:
    table = VerdictFile(Path("v.csv"), [verdict("a"), verdict("b", digest="ff"), refused("c")], sort=True)
    assert [row.path for row in table.judged("a", "e3")] == ["a"]
    assert table.judged("a", "ff") == []
    assert table.judged("c", "e3") == []  # what cannot be judged today may be tomorrow
    assert table.holds("c")
    assert (table.first_of("ff"), table.first_of("00")) == ("b", None)
    table.add([verdict("a", 2.0)])
    assert [row.score for row in table.judged("a", "e3")] == [2.0]
    table.drop("a")
    assert (table.holds("a"), len(table)) == (False, 2)


def test_the_table_grows_on_disk_at_most_a_tenth_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    written: list[float] = []

    def slow(self: pd.DataFrame, path: Path, **_: object) -> None:
        path.touch()
        now[0] += 2.0  # a write takes two seconds
        written.append(now[0])

    monkeypatch.setattr(pd.DataFrame, "to_csv", slow)
    table = VerdictFile(tmp_path / "v.csv", [], sort=True)
    for number in range(100):
        now[0] += 1.0
        table.add([verdict(str(number))])
    assert written == [12.0, 34.0, 56.0, 78.0, 100.0]
    table.save()
    table.save()  # nothing is new
    assert len(written) == 6
