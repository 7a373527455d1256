"""Recordings of hours, read block by block: windows as if each had been cut out, and what is wrong where."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self, SupportsIndex, overload

import numpy as np
import soundfile

from endline.errors import EndlineError, FileRejected
from endline.evidence.rejected import one_file
from endline.evidence.sound.promised_sizes import REMEDY
from endline.evidence.sound.recordings import (
    DENSEST,
    UNKNOWN,
    Channels,
    SoundStream,
    check_coding,
    check_rate,
    checked_size,
    missing_by_log,
    unsure_end,
)
from endline.evidence.sound.sound_headers import true_lengths

BLOCK = 2**14  # samples that are read at once
COPY = "copy it again from its source"
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Cut:
    """A window of a recording, or what is wrong with the recording at a moment.

    Attributes:
        start, stop: samples from the start of the recording.
        channels: (samples, channels) at the recording's own rate; empty where something is wrong.
        rate: of the recording, Hz.
        problem: what is wrong.

    Example:
        >>> Cut(8_000, 24_000, np.zeros((16_000, 1), "f4"), rate=16_000).seconds
        (0.5, 1.5)
    """

    start: int
    stop: int
    channels: Channels
    rate: int
    problem: FileRejected | None = None

    @property
    def seconds(self) -> tuple[float, float]:
        """Where it begins and ends."""
        return self.start / self.rate, self.stop / self.rate


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
        self._size = path.stat().st_size

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...

    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...

    def __getitem__(self, key: SupportsIndex | slice, /) -> int | bytes:
        if not isinstance(key, slice):
            return self[int(key) : int(key) + 1][0]
        start, stop, _ = key.indices(self._size)
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

    def seek(self, offset: int, whence: int = 0) -> int:
        """Go to a byte."""
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        """The byte that is read next."""
        return self._file.tell()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._file.close()


class _Forward(SoundStream):
    """Read once from start to end: soundfile seeks after every block otherwise, which not every codec does exactly."""

    def seekable(self) -> bool:
        return False


def cut_windows(path: Path, seconds: float, hop: float, lowest_rate: int) -> Iterator[Cut]:
    """Windows of a recording of any length, one every `hop` seconds and one that ends with it.

    In memory are a window, a hop and a block. A file that ends too soon or is damaged is read as far as it goes; the
    last thing given then says what is wrong, and when.

    Args:
        path: any file that libsndfile reads.
        seconds: of a window.
        hop: seconds from one window to the next, at most `seconds`.
        lowest_rate: in Hz.

    Raises:
        EndlineError: when the file cannot be read at all, has a lower rate or is shorter than a window, or the hop is
            longer than a window.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "long.wav"
        >>> soundfile.write(path, np.zeros(40_000), 16_000)
        >>> [cut.seconds for cut in cut_windows(path, 1.0, 1.0, 16_000)]
        [(0.0, 1.0), (1.0, 2.0), (1.5, 2.5)]
    """
    if not 0 < hop <= seconds:
        raise EndlineError(
            f"hop={hop:g} s: choose more than 0 s and at most {seconds:g} s, the length of a window, so that every "
            "moment is judged."
        )
    with one_file(path):
        checked_size(path)
        content = StoredSound(path)
    with content:
        for remark in unsure_end(content):
            log.warning("%s: %s", path, remark)
        with one_file(path):
            problem = content.mend()
            try:
                file = _Forward(content)
            except soundfile.LibsndfileError as error:
                raise problem or FileRejected("no sound file that libsndfile can read", REMEDY) from error
            rate, count = int(file.samplerate), int(file.channels)
            check_coding(file)
            check_rate(rate, lowest_rate)
            if rate * count > DENSEST:
                raise FileRejected(f"it has {count} channels at {rate} Hz", "export fewer of them")
            if missing := missing_by_log(file.extra_info):
                problem = FileRejected(f"the file is truncated, {missing} that its header promises are missing", COPY)
        with file:
            yield from _windows(path, file, round(seconds * rate), max(1, round(hop * rate)), problem)


def _windows(path: Path, file: SoundStream, length: int, step: int, problem: FileRejected | None) -> Iterator[Cut]:
    rate, promised = int(file.samplerate), 0 if file.frames == UNKNOWN else int(file.frames)
    held, offset, first, stop = np.zeros((0, int(file.channels)), np.float32), 0, 0, 0
    while True:
        try:
            block = file.read(BLOCK, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError):
            problem = problem or FileRejected("the file is damaged, its samples cannot be read to the end", COPY)
            break
        if not len(block):
            break
        held = np.concatenate([held, block])
        while offset + len(held) >= first + length:
            stop = first + length
            yield Cut(first, stop, held[first - offset : stop - offset], rate)
            first += step
        # A window that ends with the recording may begin before the next one.
        drop = max(0, min(first, offset + len(held) - length) - offset)
        held, offset = held[drop:], offset + drop
    end = offset + len(held)
    if problem is None and end < promised:
        problem = FileRejected(f"the file is truncated, {end} of {promised} samples are there", COPY)
    if end < length:
        said = "" if problem is None else f" ({problem.reason})"
        raise EndlineError(
            f"{path} lasts {end / rate:.3g} s{said}, less than a window of {length / rate:.3g} s: judge it by inspect."
        )
    if stop < end:
        yield Cut(end - length, end, held[end - length - offset :], rate)
    if problem is not None:
        yield Cut(end, end, held[:0], rate, problem)
