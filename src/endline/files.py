"""Files written whole or not at all, and their digests: the one place for both."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from uuid import uuid4

from endline.errors import EndlineError, cause_of
from endline.owner import Owner

PARTIAL = ".partial"
LOCK = ".lock"


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
    partial = partial_name(path)
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
        remove(partial)


def partial_name(path: Path) -> Path:
    """A hidden name beside `path` that no other writer has: it names this process, and stays unlike its next one."""
    # The suffix stays the last part of the name: some writers choose their format by it.
    return path.with_name(f".{path.stem}.{Owner.current()}-{uuid4().hex[:8]}{PARTIAL}{path.suffix}")


def clear_partials(folder: Path) -> None:
    """Remove what killed processes left in a folder, half-written files and locks; what living ones use stays.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> dead = Owner(Owner.current().host, 999_999_999, 1)
        >>> (folder / f".maps.{dead}-0a0a0a0a.partial.npy").touch()
        >>> clear_partials(folder)
        >>> list(folder.iterdir())
        []
    """
    for path in folder.glob(f".*{PARTIAL}*"):
        if (owner := Owner.read(path.name)) is None or owner.is_dead:
            remove(path)
    for lock in folder.glob(f".*{LOCK}"):
        with suppress(EndlineError), locked(lock, "somebody holds it"):
            pass  # it goes when it is let go


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing where there is neither."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a file or a folder in one step for whoever reads it: it has another name before its parts go."""
    hidden = partial_name(path)
    path.replace(hidden)
    remove(hidden)


def remove_empty(folder: Path) -> None:
    """Remove a folder's empty folders, however deep, and itself where nothing stays."""
    for each in sorted([folder, *folder.rglob("*")], reverse=True):
        if each.is_dir() and not any(each.iterdir()):
            each.rmdir()


def link(source: Path, target: Path) -> None:
    """Give a file a second name, so that it lies on the disk once; a copy where the file system has no such links.

    Args:
        source: a file that nobody changes in place.
        target: its second name, replaced where there is one; its parents are made.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> write_whole(folder / "a", "once")
        >>> link(folder / "a", folder / "deep" / "b")
        >>> (folder / "deep" / "b").samefile(folder / "a")
        True
    """
    with whole(target) as partial:
        try:
            os.link(source, partial)
        except OSError:
            shutil.copy2(source, partial)


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
def locked(lock: Path, busy: str | None = None, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock that dies with its process.

    Args:
        lock: file of the lock; it is made, and goes with the last who holds it.
        busy: what to say where another process holds it; None: wait until it does not.
        shared: hold it together with others who share it, so that only who wants it alone waits.

    Raises:
        EndlineError: `busy`, when another process holds the lock; or when the disk allows no lock.

    Example:
        >>> import tempfile
        >>> lock = Path(tempfile.mkdtemp()) / "lock"
        >>> with locked(lock):
        ...     with locked(lock, "Someone is here: wait."):
        ...         pass
        Traceback (most recent call last):
        endline.errors.EndlineError: Someone is here: wait.
        >>> with locked(lock, shared=True), locked(lock, "Someone is here: wait.", shared=True):
        ...     lock.exists()
        True
        >>> lock.exists()
        False
    """
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    file = _take(lock, kind | (0 if busy is None else fcntl.LOCK_NB), busy or "")
    try:
        yield
    finally:
        with file, suppress(BlockingIOError):  # others share it: the last one removes it
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_open(lock, file):
                lock.unlink()


def _take(lock: Path, how: int, busy: str) -> IO[str]:
    """The opened file of a lock, taken; opened anew when whoever held it before has removed it."""
    while True:
        try:
            lock.parent.mkdir(parents=True, exist_ok=True)
            file = lock.open("a")
        except OSError as error:
            raise EndlineError(f"{lock} could not be written ({error.strerror}): make its folder writable.") from error
        try:
            fcntl.flock(file, how)
            if _is_open(lock, file):
                return file
        except BlockingIOError:
            file.close()
            raise EndlineError(busy) from None
        except BaseException:
            file.close()
            raise
        file.close()


def _is_open(path: Path, file: IO[str]) -> bool:
    """Whether the opened file is still the one of this name."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False


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
