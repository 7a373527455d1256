"""A recording that is still written, read as far as it goes, again and again."""

import os
import struct
import time
from collections.abc import Callable
from pathlib import Path

from endline.errors import EndlineError, FileRejected
from endline.evidence.sound.sound_headers import are_chunks, chunks
from endline.evidence.sound.stored_sound import StoredSound

ENDLESS = 0xFFF00000  # bytes of a WAV file that a header may promise, four gigabytes
LOOK = 0.2  # s from one look at the file to the next
HEAD = 2**16  # bytes within which the sound begins
PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE  # codings whose frames have one length, in bytes
REMEDY = "let the recorder write a WAV file of PCM or float samples, or judge it when it is complete"


class GrowingSound(StoredSound):
    r"""A WAV file that a recorder still writes: its header promises what will never come, whole frames alone are read.

    What the header says meanwhile, 0 or the length at some moment, is not looked at.

    Args:
        path: of the file.
        patience: seconds that it must not have grown to have ended.

    Raises:
        EndlineError: for a patience that is none.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "growing.wav"
        >>> form = struct.pack("<IHHIIHH", 16, 1, 1, 16_000, 32_000, 2, 16)
        >>> _ = path.write_bytes(b"RIFF" + bytes(4) + b"WAVEfmt " + form + b"data" + bytes(4) + b"sound")
        >>> with GrowingSound(path, patience=0.0) as content:
        ...     content.mend(), content.read(100)[-4:], content.more()
        (None, b'soun', False)
    """

    def __init__(self, path: Path, patience: float) -> None:
        if not 0 <= patience < 86_400:
            raise EndlineError(f"follow={patience:g} is no time in seconds: give 0 to 86400.")
        super().__init__(path)
        self._patience = patience
        self._sound = self._frame = 0  # first byte of the sound, bytes of a frame

    def mend(self) -> FileRejected | None:
        """Wait for the header, and promise more in it than will ever come; what is wrong with it."""
        if not self._wait(self._begins):
            return FileRejected("it has no header of a WAV file with PCM or float samples", REMEDY)
        whole = (ENDLESS - self._sound) // self._frame * self._frame
        self._lengths = {4: struct.pack("<I", self._sound + whole - 8), self._sound - 4: struct.pack("<I", whole)}
        self.seek(0)
        return None

    def read(self, size: int = -1) -> bytes:
        """The next bytes that are there, up to the last whole frame."""
        there = self._whole() - self.tell()
        return super().read(max(0, min(size, there) if size >= 0 else there))

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a byte; the end lies where the header promises it."""
        return self._file.seek(ENDLESS + offset) if whence == os.SEEK_END else self._file.seek(offset, whence)

    def more(self) -> bool:
        """Wait for a frame behind what has been read; False when the file has not grown within its patience."""
        return self._wait(lambda: self._whole() > self.tell())

    def surplus(self) -> int:
        """Frames read that are no sound: chunks that the recorder has put behind it, and a true length before it."""
        read = self.tell()
        promised = int.from_bytes(self[self._sound - 4 : self._sound], "little")
        end = self._sound + promised
        if not promised or end >= read or not are_chunks(self, end + promised % 2, "<"):
            return 0
        return -((end - read) // self._frame)

    def _wait(self, there: Callable[[], bool]) -> bool:
        """Whether something is there, or comes while the file grows."""
        while True:
            size = len(self)  # before the look: what comes during it counts as growth
            if there():
                return True
            if not self._grows(size):
                return False

    def _grows(self, size: int) -> bool:
        """Whether the file gets larger than it was, within the seconds of its patience."""
        waited = 0.0
        while len(self) <= size:
            if waited >= self._patience:
                return False
            time.sleep(LOOK)
            waited += LOOK
        return True

    def _whole(self) -> int:
        return self._sound + (len(self) - self._sound) // self._frame * self._frame if self._frame else len(self)

    def _begins(self) -> bool:
        """Whether the header is there, up to the first byte of the sound."""
        head = self[:HEAD]
        if head[:4] != b"RIFF" or head[8:12] != b"WAVE":
            return False
        frame = 0
        for name, start, _ in chunks(head, "<"):
            if name == b"data":
                self._sound, self._frame = start, frame
                return frame > 0
            if name == b"fmt " and start + 16 <= len(head):
                coding, frame = struct.unpack("<H10xH", head[start : start + 14])
                frame = frame if coding in (PCM, FLOAT, EXTENSIBLE) else 0
        return False
