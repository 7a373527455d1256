"""Raw files that cannot be used: a row each with reason and remedy, while the others are read on."""

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from endline.errors import EndlineError, FileRejected
from endline.files import file_digest
from endline.samples import rejected_table

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
        digest = file_digest(self.folder / name)
        other = self._names.setdefault((among, digest), name)
        if other != name:
            raise FileRejected(f"the same {self.contents} as {other}", "keep one of them, with the right label")
        return digest

    def table(self, files: int, *, usable: bool) -> pd.DataFrame:
        """The rejected table of `files` files; each row is logged as a warning.

        Raises:
            EndlineError: when none is usable.
        """
        table = rejected_table(self.rows)
        if not usable:
            first = table.iloc[0]
            raise EndlineError(
                f"None of the {files} {self.contents}s in {self.folder} can be used; {first['path']}: "
                f"{first['reason']} ({first['remedy']})."
            )
        for row in table.itertuples():
            log.warning("Left out %s: %s; %s.", row.path, row.reason, row.remedy)
        return table
