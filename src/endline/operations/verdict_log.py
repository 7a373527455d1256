"""The log of verdicts: append-only, each line holds the digest of the line before, so that no change goes unseen.

Lines that are cut off at the end leave a whole chain behind, so a file beside the log holds what the last line was.
"""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from endline.errors import EndlineError
from endline.evaluation.summary import finite_or_none
from endline.files import locked, write_whole
from endline.operations.verdicts import Verdict

FIRST = "0" * 64  # what the first line has in the place of a digest
BEFORE, TIME, FILE = "before", "time", "file"
TAIL = 1 << 16  # bytes from the end in which the last line is looked for first
log = logging.getLogger(__name__)


def end_file(path: Path) -> Path:
    """File beside a log that holds the digest of its last line."""
    return path.with_suffix(".end")


def log_file(project: Path, station: str) -> Path:
    """File of a station's log of verdicts."""
    return project / "data" / "07_verdicts" / station / "log.jsonl"


@dataclass
class VerdictLog:
    """Takes verdicts, and appends them when it is asked to: one write and one flush to the disk for all.

    Attributes:
        path: of the log.
        place: of a verdict's path, where its file lies.

    Example:
        >>> import tempfile
        >>> log = VerdictLog(Path(tempfile.mkdtemp()) / "log.jsonl")
        >>> log.add([Verdict("a", "a", "e3", "normal", 1.0, 0.5, False, None, "1", "mirror")])
        >>> log.flush()
        >>> [entry["sample_id"] for entry in entries(log.path)]
        ['a']
    """

    path: Path
    place: Callable[[str], Path] = Path
    _waiting: list[dict[str, Any]] = field(default_factory=list, init=False, repr=False)

    def add(self, verdicts: Iterable[Verdict]) -> None:
        """Take verdicts; they are on the disk after the next `flush`."""
        for verdict in verdicts:
            place = str(self.place(verdict.path).absolute())
            self._waiting.append({TIME: _now(), **finite_or_none(asdict(verdict)), FILE: place})

    def flush(self) -> None:
        """Append what was taken, by one process at a time.

        Raises:
            EndlineError: when the disk is full or refuses the rights.
        """
        if not self._waiting:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path.with_name(f".{self.path.name}.lock")), self.path.open("a+b") as file:
                before = _last_digest(file, self.path)
                cut = before != (_end(self.path) or before) and not _holds_end(self.path)
                lines = []
                for entry in self._waiting:
                    line = json.dumps({BEFORE: before, **entry}, ensure_ascii=False).encode()
                    before = hashlib.sha256(line).hexdigest()
                    lines.append(line + b"\n")
                file.write(b"".join(lines))
                file.flush()
                os.fsync(file.fileno())
                self._waiting.clear()  # they stand there, whatever comes next
                if not cut:
                    write_whole(end_file(self.path), before)
            if cut:
                log.warning("%s", _cut(self.path))
        except OSError as error:
            raise EndlineError(
                f"The log of verdicts {self.path} could not be written ({error.strerror}): free or unlock the disk, or "
                "judge without it (--no-log)."
            ) from error


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _last_digest(file: Any, path: Path) -> str:
    """Digest of the last whole line; what a killed process has left of a line after it is no verdict, and goes."""
    size, tail = file.seek(0, os.SEEK_END), TAIL
    while True:
        start = max(0, size - tail)
        file.seek(start)
        content = file.read(size - start)
        end = content.rfind(b"\n")
        begin = content.rfind(b"\n", 0, max(end, 0))
        if start == 0 or begin >= 0:
            break
        tail *= 2
    if end + 1 < len(content):
        log.warning("%s ended in half a line, of a process that was killed: it is left out.", path)
        file.truncate(start + end + 1)
        file.seek(0, os.SEEK_END)
    return FIRST if end < 0 else hashlib.sha256(content[begin + 1 : end]).hexdigest()


def entries(path: Path) -> Iterator[dict[str, Any]]:
    """Entries of a log, the first one first, as long as each is chained to the one before.

    Raises:
        EndlineError: at the first line that is not, and after the last one where lines were cut off behind it.
    """
    end, before = _end(path), FIRST
    reached = end is None
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                break  # of a process that writes now, or was killed
            content = line[:-1]
            try:
                entry = json.loads(content)
                known = entry[BEFORE]
            except (ValueError, KeyError, TypeError):
                known, entry = "", {}
            if known != before:
                raise EndlineError(
                    f"The log of verdicts {path} is broken at line {number}: this line, or the one before it, was "
                    "changed, removed or put in later. Restore it from a copy; what stands above it is whole."
                )
            before = hashlib.sha256(content).hexdigest()
            reached = reached or before == end
            yield entry
    if not reached:
        raise EndlineError(_cut(path))


def _end(path: Path) -> str | None:
    """Digest of the last line that a log has had; None where nothing says so."""
    with suppress(FileNotFoundError):
        return end_file(path).read_text()
    return None


def _holds_end(path: Path) -> bool:
    """Whether the line that was the last is still there: a process may have been killed before it named its own."""
    with suppress(EndlineError):  # a broken chain is told by who reads it
        for _ in entries(path):
            pass
        return True
    return False


def _cut(path: Path) -> str:
    return (
        f"The log of verdicts {path} is broken at its end: the line that was the last is not there any more. Restore "
        f"it from a copy, or remove {end_file(path).name} beside it where it was shortened on purpose."
    )
