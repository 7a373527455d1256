"""The bytes of a sound file on disk, read as they are asked for."""

import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self, SupportsIndex, overload

from endline.errors import FileRejected
from endline.evidence.sound.sound_headers import true_lengths


class StoredSound:
    r"""The bytes of a sound file as they lie on disk, true lengths in its header; what is not asked for is not read.

    Args:
        path: of the file.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "piped.wav"
        >>> _ = path.write_bytes(b"RIFF" + bytes(4) + b"WAVE" + b"data" + bytes([255] * 4) + b"sound!")
        >>> with StoredSound(path) as content:
        ...     content.mend(), content.read(20)[-4:]
        (None, b'\x06\x00\x00\x00')
    """

    def __init__(self, path: Path) -> None:
        self._lengths: Mapping[int, bytes] = {}  # what is read instead, by its first byte
        self._file = path.open("rb")

    def __len__(self) -> int:
        return os.fstat(self._file.fileno()).st_size

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...

    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...

    def __getitem__(self, key: SupportsIndex | slice, /) -> int | bytes:
        if not isinstance(key, slice):
            return self[int(key) : int(key) + 1][0]
        start, stop, _ = key.indices(len(self))
        self._file.seek(start)
        return self._file.read(max(0, stop - start))

    def mend(self) -> FileRejected | None:
        """Give the header its true lengths where they never were; what is wrong with the file by its header."""
        try:
            self._lengths = true_lengths(self)
        except FileRejected as problem:
            return problem
        finally:
            self.seek(0)
        return None

    def read(self, size: int = -1) -> bytes:
        """The next bytes."""
        at = self._file.tell()
        content = self._file.read(size)
        for first, length in self._lengths.items():
            if at < first + len(length) and first < at + len(content):
                changed = bytearray(content)
                for place, byte in enumerate(length, first - at):
                    if 0 <= place < len(changed):
                        changed[place] = byte
                content = bytes(changed)
        return content

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The byte that is read next."""
        return self._file.tell()

    def more(self) -> bool:
        """Whether something comes behind the end, see `GrowingSound`; not in a file that lies still."""
        return False

    def surplus(self) -> int:
        """Frames read that are no sound, see `GrowingSound`; none in a file that lies still."""
        return 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()
