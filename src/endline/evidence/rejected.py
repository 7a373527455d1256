"""Raw files that cannot be used: a row each with reason and remedy, while the others are read on."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from endline.errors import EndlineError, FileRejected
from endline.evidence.folders import printable
from endline.files import file_digest
from endline.samples import REJECTED_COLUMNS, rejected_table

SINGLY = 3  # files left out for one reason that the log names one by one
log = logging.getLogger(__name__)


class Rejections:
    """The files that an index leaves out, gathered while it reads.

    Args:
        folder: raw folder; files are named by their paths in it.
        contents: what the files are, in the user's words: "recording", "image".
        rows: path, reason and remedy of what is known beforehand.

    Example:
        >>> rejections = Rejections(Path("raw"), "recording")
        >>> with rejections.instead("a.wav"):
        ...     raise FileRejected("the file is empty (0 bytes)", "record it again")
        >>> rejections.rows
        [('a.wav', 'the file is empty (0 bytes)', 'record it again')]
    """

    def __init__(self, folder: Path, contents: str, rows: Iterable[tuple[str, str, str]] = ()) -> None:
        self.folder = folder
        self.contents = contents
        self.rows = list(rows)
        self._names: dict[tuple[str, str], str] = {}

    @contextmanager
    def instead(self, name: str) -> Iterator[None]:
        """Make a row of what is wrong with the file, and leave the block there."""
        try:
            yield
        except FileRejected as problem:
            self.rows.append((name, problem.reason, problem.remedy))
        except OSError as problem:
            reason = f"it cannot be read ({problem.strerror})"
            self.rows.append((name, reason, "check the file's rights and the disk"))

    def digest(self, name: str, among: str = "") -> str:
        """SHA-256 of the file, which must be the first of its contents among those of the same `among`.

        Raises:
            FileRejected: for a copy of a file that was taken before.
        """
        return self.first_of(file_digest(self.folder / name), name, among)

    def first_of(self, digest: str, name: str, among: str = "") -> str:
        """The digest of what `name` holds, which must be the first of its contents; see `digest`.

        Raises:
            FileRejected: for a copy of what was taken before.
        """
        other = self._names.setdefault((among, digest), name)
        if other != name:
            raise FileRejected(f"the same {self.contents} as {other}", "keep one of them, with the right label")
        return digest

    def table(self, files: int, *, usable: bool) -> pd.DataFrame:
        """The rejected table of `files` files, names as they can be printed; the log warns of every row or reason.

        Raises:
            EndlineError: when none is usable, with the most frequent reason.
        """
        table = rejected_table([(printable(name), reason, remedy) for name, reason, remedy in self.rows])
        if not usable:
            raise EndlineError(f"None of the {files} {self.contents}s in {self.folder} can be used; {_mainly(table)}.")
        for _, rows in table.groupby(_reasons(table), sort=False):
            shown = rows if len(rows) <= SINGLY else rows[:1]
            for row in shown.itertuples():
                more = "" if len(rows) <= SINGLY else f" and {len(rows) - 1} more"
                log.warning("Left out %s%s: %s; %s.", row.path, more, row.reason, row.remedy)
        return table


@contextmanager
def one_file(path: Path) -> Iterator[None]:
    """Say of the one file that a verdict is wanted on, as a sentence, why it cannot be used.

    Raises:
        EndlineError: the block's `FileRejected` or `OSError`, with the path.

    Example:
        >>> with one_file(Path("a.wav")):
        ...     raise FileRejected("the file is empty (0 bytes)", "record it again")
        Traceback (most recent call last):
        endline.errors.EndlineError: a.wav: the file is empty (0 bytes): record it again.
    """
    try:
        yield
    except FileRejected as problem:
        raise EndlineError(f"{path}: {problem}") from problem
    except OSError as problem:
        raise EndlineError(
            f"{path}: it cannot be read ({problem.strerror}): check the file's rights and the disk."
        ) from problem


@contextmanager
def after_rejections(rejected: pd.DataFrame) -> Iterator[None]:
    """Say of what fails in the block for want of items how many files were left out before, and mainly why.

    Args:
        rejected: the rejected table, columns `path, reason, remedy`.

    Raises:
        EndlineError: the block's own, with that sentence before it where files were left out.

    Example:
        >>> with after_rejections(rejected_table([("a.wav", "the recording is silent", "check the microphone")])):
        ...     raise EndlineError("1 normal item(s) would train.")
        Traceback (most recent call last):
        endline.errors.EndlineError: 1 file was left out; a.wav: the recording is silent (check the microphone). 1 ...
    """
    try:
        yield
    except EndlineError as problem:
        if rejected.empty:
            raise
        said = "1 file was" if len(rejected) == 1 else f"{len(rejected)} files were"
        raise EndlineError(f"{said} left out; {_mainly(rejected)}. {problem}") from problem


def _mainly(table: pd.DataFrame) -> str:
    """The first file of the most frequent reason, with the reason, the remedy and how many it holds for."""
    reasons = _reasons(table)
    counts = reasons.map(reasons.value_counts()).to_numpy()
    path, reason, remedy = table[list(REJECTED_COLUMNS)].iloc[counts.argmax()]  # the first of them
    count = counts.max()
    return f"{path if count == 1 else f'{count} such as {path}'}: {reason} ({remedy})"


def _reasons(table: pd.DataFrame) -> pd.Series:
    """By which rows are counted: reason without its numbers, and remedy."""
    return table["reason"].str.replace(r"\d+(\.\d+)?", "0", regex=True) + table["remedy"]
