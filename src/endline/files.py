"""Files written whole or not at all, and their digests: the one place for both."""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from endline.errors import EndlineError, cause_of

PARTIAL = ".partial"
OWNER = re.compile(rf"\.(\d+)-[0-9a-f]{{8}}{re.escape(PARTIAL)}")  # the process that writes it


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; what was made there (a file or a folder) becomes `path` in one step.

    An error, or a killed process, leaves `path` as it was. An existing file is replaced; an existing folder is not,
    since no file system swaps folders in one step.

    Args:
        path: where the file or folder shall appear; its parents are made.

    Raises:
        EndlineError: when the disk is full, read-only or refuses the rights.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "note.txt"
        >>> with whole(path) as partial:
        ...     _ = partial.write_text("all of it")
        >>> path.read_text()
        'all of it'
    """
    # The suffix stays the last part of the name: some writers choose their format by it.
    partial = path.with_name(f".{path.stem}.{os.getpid()}-{uuid4().hex[:8]}{PARTIAL}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield partial
        os.replace(partial, path)
    except Exception as error:
        cause = cause_of(error, OSError)
        if cause is None or cause_of(error, EndlineError) is not None:
            raise
        raise EndlineError(
            f"{path} could not be written ({cause.strerror or cause}): free or unlock the disk and run again."
        ) from error
    finally:
        if partial.is_dir():
            shutil.rmtree(partial, ignore_errors=True)
        else:
            partial.unlink(missing_ok=True)


def clear_partials(folder: Path) -> None:
    """Remove what killed processes left half-written in a folder; what living ones are writing stays.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / ".maps.999999999-0a0a0a0a.partial.npy").touch()
        >>> clear_partials(folder)
        >>> list(folder.iterdir())
        []
    """
    for path in folder.glob(f".*{PARTIAL}*"):
        if (owner := OWNER.search(path.name)) is None or not Path(f"/proc/{owner[1]}").exists():
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write text (UTF-8) or bytes whole or not at all; errors as `whole`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "deep" / "table.csv"
        >>> write_whole(path, "a,b")
        >>> path.read_bytes()
        b'a,b'
    """
    with whole(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def locked(lock: Path, busy: str | None = None) -> Iterator[None]:
    """Hold a lock that dies with its process.

    Args:
        lock: file of the lock; it is made, and stays.
        busy: what to say where another process holds it; None: wait until it does not.

    Raises:
        EndlineError: `busy`, when another process holds the lock.

    Example:
        >>> import tempfile
        >>> lock = Path(tempfile.mkdtemp()) / "lock"
        >>> with locked(lock):
        ...     with locked(lock, "Someone is here: wait."):
        ...         pass
        Traceback (most recent call last):
        endline.errors.EndlineError: Someone is here: wait.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if busy is None else fcntl.LOCK_NB))
        except BlockingIOError:
            raise EndlineError(busy or "") from None
        yield


def file_digest(path: Path) -> str:
    """SHA-256 of a file's content, 64 hexadecimal digits.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "empty"
        >>> path.touch()
        >>> file_digest(path)[:8]
        'e3b0c442'
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_key(*parts: object) -> str:
    """Digest (32 hexadecimal digits) of parts that JSON can write: equal contents, equal key.

    Example:
        >>> content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1})
        True
    """
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
