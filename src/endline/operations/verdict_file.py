"""The table of verdicts on disk, which grows whole."""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from endline.errors import EndlineError
from endline.files import locked, whole
from endline.operations.verdicts import ADDED, ANOMALOUS, COLUMNS, NONE, NORMAL, Verdict, verdict_table

SUFFIXES = (".parquet", ".csv")
SECONDS = 10.0  # between two writes of a table that grows
SHARE = 10  # times as long as a write takes nothing is written


class Log(Protocol):
    """What else takes each new row of a table.

    Example:
        `VerdictLog(path)`
    """

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Take rows."""

    def flush(self) -> None:
        """Bring them to the disk."""


class VerdictFile:
    """A table of verdicts that is on disk whole at any time, while it grows; see `verdict_file`.

    A file is known by its path and digest. What it held before stays, where it is not replaced.

    Args:
        path: of the table, `.parquet` or `.csv`.
        verdicts: what it holds.
        sort: whether rows are written in the order of their paths; else in that of their coming.
        seconds: between two writes, at least.
        log: is given each new row, and is on the disk before the table is.

    Example:
        >>> table = VerdictFile(Path("verdicts.csv"), [], sort=True)
        >>> table.add([Verdict("a", "a", "e3", "normal", 1.0, 0.5, False, None, "1", "mirror")])
        >>> [row.sample_id for row in table.judged("a", "e3")], table.judged("a", "ff")
        (['a'], [])
    """

    def __init__(
        self, path: Path, verdicts: Iterable[Verdict], *, sort: bool, seconds: float = SECONDS, log: Log | None = None
    ) -> None:
        self.path, self._sort, self._seconds, self._log = path, sort, seconds, log
        self._rows: dict[tuple[str, str], list[Verdict]] = {}
        self._digests: dict[str, set[str]] = {}
        self._first: dict[str, str] = {}  # digest -> path of the file that was judged first
        self._changed, self._next = False, time.monotonic() + seconds
        for verdict in verdicts:
            self._keep(verdict)

    def __len__(self) -> int:
        return sum(map(len, self._rows.values()))

    def holds(self, path: str) -> bool:
        """Whether there is any row of a file of this name."""
        return path in self._digests

    def judged(self, path: str, digest: str) -> list[Verdict]:
        """Rows of a file; none where an item of it has no verdict, for that may be another one today."""
        rows = self._rows.get((path, digest), [])
        return [] if any(row.verdict == NONE for row in rows) else rows

    def first_of(self, digest: str) -> str | None:
        """Path of the file with this content that was judged first; None where none was."""
        return self._first.get(digest)

    def drop(self, path: str) -> None:
        """Remove the rows of a file, whatever it held."""
        for digest in self._digests.pop(path, set()):
            del self._rows[path, digest]
            self._changed = True

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Take the rows of one file, in the place of those of the same path and content; written when it is time."""
        rows = list(verdicts)
        for key in {(row.path, row.digest) for row in rows}:
            self._rows.pop(key, None)
        for row in rows:
            self._keep(row)
            self._changed = True
        if self._log is not None:
            self._log.add(rows)
        self.save_if_due()

    def save_if_due(self) -> None:
        """Write the table where it is time; errors as `save`."""
        if time.monotonic() >= self._next:
            self.save()

    def save(self) -> None:
        """Write the table, whole or not at all, where there is anything new.

        Raises:
            EndlineError: when the disk is full or refuses the rights.
        """
        if not self._changed:
            return
        if self._log is not None:
            self._log.flush()
        begun = time.monotonic()
        rows = [row for each in self._rows.values() for row in each]
        table = verdict_table(sorted(rows, key=lambda row: row.path) if self._sort else rows)
        with whole(self.path) as partial:
            if self.path.suffix.lower() == ".csv":
                table.to_csv(partial, index=False)
            else:
                table.to_parquet(partial, index=False)
        now = time.monotonic()
        self._changed, self._next = False, now + max(self._seconds, SHARE * (now - begun))

    def _keep(self, row: Verdict) -> None:
        self._rows.setdefault((row.path, row.digest), []).append(row)
        self._digests.setdefault(row.path, set()).add(row.digest)
        if row.verdict != NONE:
            self._first.setdefault(row.digest, row.path)


@contextmanager
def verdict_file(
    path: Path, station: str, run: str | None, *, sort: bool = True, seconds: float = SECONDS, log: Log | None = None
) -> Iterator[VerdictFile]:
    """The table of verdicts of a path, this process's alone, written at the end too, whatever the end.

    Args:
        path: `.parquet` or `.csv`; its rows of before are kept.
        station: whose verdicts it may hold.
        run: whose verdicts it may hold; None: of any run of the station.
        sort: see `VerdictFile`.
        seconds: see `VerdictFile`.
        log: see `VerdictFile`.

    Raises:
        EndlineError: for another ending; while another process writes it; and for a file that is no table of verdicts,
            or holds those of another model.
    """
    check_ending(path)
    busy = f"Another process writes {path}: wait for it, or write to another --output."
    with locked(path.with_name(f".{path.name}.lock"), busy):
        known = _read(path, station, run) if path.exists() else []
        table = VerdictFile(path, known, sort=sort, seconds=seconds, log=log)
        try:
            yield table
        finally:
            table.save()


def check_ending(path: Path) -> None:
    """Refuse a table of another kind before anything is loaded.

    Raises:
        EndlineError: for an ending that is none of `SUFFIXES`.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise EndlineError(f"{path} is no table of verdicts by its ending: write to .parquet or .csv (--output).")


def read_verdicts(path: Path) -> list[Verdict]:
    """The rows of a table of verdicts, numbers to the last digit.

    Raises:
        EndlineError: when it cannot be read, or is another table.
    """
    check_ending(path)
    try:
        if path.suffix.lower() == ".csv":
            table = pd.read_csv(path, dtype=str, keep_default_na=False)
        else:
            table = pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pandas' and pyarrow's own are among them
        said = " ".join(str(error).split())
        raise EndlineError(f"{path} cannot be read ({said}): move it away, or write to another --output.") from error
    lacking = COLUMNS[len(table.columns) :]
    if tuple(table.columns) + lacking == COLUMNS and set(lacking) <= set(ADDED):
        table = table.assign(**dict.fromkeys(lacking, ""))
    if tuple(table.columns) != COLUMNS:
        shown = ", ".join(map(str, table.columns[:4])) + (", ..." if len(table.columns) > 4 else "")
        raise EndlineError(
            f"{path} is no table of verdicts, its columns are {shown}: move it away, or write to another --output."
        )
    try:
        return [_row(row) for row in table.to_dict("records")]
    except ValueError as error:
        raise EndlineError(f"{path} holds {error}: move it away, or write to another --output.") from error


def _row(row: Mapping[Any, Any]) -> Verdict:
    text = {str(name): "" if pd.isna(value) else str(value) for name, value in row.items()}
    if text["verdict"] not in (NORMAL, ANOMALOUS, NONE):
        raise ValueError(f"the verdict '{text['verdict']}', which nobody gives")
    return Verdict(
        sample_id=text["sample_id"],
        path=text["path"],
        digest=text["digest"],
        verdict=text["verdict"],
        score=float(text["score"] or math.nan),
        p_value=float(text["p_value"] or math.nan),
        flagged=text["flagged"] == "True" if text["flagged"] else None,
        reason=text["reason"] or None,
        run=text["run"],
        station=text["station"],
        model=text["model"],
        alias=text["alias"],
        remark=text["remark"],
    )


def _read(path: Path, station: str, run: str | None) -> list[Verdict]:
    verdicts = read_verdicts(path)
    for row in verdicts:
        if row.station != station:
            raise EndlineError(
                f"{path} holds verdicts of the station {row.station}, and {station} judges now: write to another "
                "--output."
            )
        if run is not None and row.run != run:
            raise EndlineError(
                f"{path} holds verdicts of the run {row.run}, and {run} judges now: write to another --output, or "
                f"judge by that run (--run={row.run})."
            )
    return verdicts
