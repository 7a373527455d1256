"""What the index has decoded, kept for the extraction: files are not decoded twice as long as memory allows."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from numpy.typing import NDArray

ContentT = TypeVar("ContentT", bound=tuple[NDArray[Any], ...])
LIMIT = 512 * 2**20  # bytes of arrays that are kept


class Decoded:
    """Arrays of raw files by path, up to a limit in bytes; beyond it files are decoded again when they are asked for.

    A file that has changed (its size or time of change) is decoded anew. What was kept first stays: the extraction
    reads the files in the order of the index, where dropping the oldest would drop each just before it is wanted.

    Args:
        limit: bytes that are kept.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> path, decoded = Path(tempfile.mkdtemp()) / "a.npy", Decoded()
        >>> np.save(path, np.ones(3))
        >>> first = decoded.read(path, lambda path: (np.load(path),))
        >>> decoded.read(path, lambda path: (np.load(path),))[0] is first[0]
        True
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self.limit = limit
        self._kept: dict[Path, tuple[tuple[int, int, object], tuple[Any, ...]]] = {}
        self._size = 0

    def read(self, path: Path, decode: Callable[[Path], ContentT], how: object = None) -> ContentT:
        """What `decode` makes of a file, or made of it before; its arrays must not be written to.

        `how` says by what settings `decode` reads: what others made of the file is not theirs.
        """
        try:
            status = path.stat()
        except OSError:
            return decode(path)  # its own words say what is wrong
        state = (status.st_size, status.st_mtime_ns, how)
        kept = self._kept.get(path)
        if kept is not None and kept[0] == state:
            content: ContentT = kept[1]  # type: ignore[assignment]  # kept under the path that one decoder reads
            return content
        content = decode(path)
        size = sum(getattr(each, "nbytes", 0) for each in content)
        if kept is None and self._size + size <= self.limit:
            self._kept[path] = (state, content)
            self._size += size
        return content

    def forget(self) -> None:
        """Give the memory back."""
        self._kept.clear()
        self._size = 0


DECODED = Decoded()
