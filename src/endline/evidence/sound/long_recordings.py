"""Recordings of hours, read block by block: windows as if each had been cut out, and what is wrong where."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from endline.errors import EndlineError, FileRejected
from endline.evidence.rejected import one_file
from endline.evidence.sound.file_facts import bits_of
from endline.evidence.sound.growing import GrowingSound
from endline.evidence.sound.promised_sizes import REMEDY
from endline.evidence.sound.recordings import (
    DENSEST,
    UNKNOWN,
    SoundStream,
    check_coding,
    checked_size,
    missing_by_log,
    unsure_end,
)
from endline.evidence.sound.signals import Channels, check_rate
from endline.evidence.sound.stored_sound import StoredSound

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
        bits: of a sample of its file, see `bits_of`.
        problem: what is wrong.

    Example:
        >>> Cut(8_000, 24_000, np.zeros((16_000, 1), "f4"), rate=16_000, bits=16).seconds
        (0.5, 1.5)
    """

    start: int
    stop: int
    channels: Channels
    rate: int
    bits: int
    problem: FileRejected | None = None

    @property
    def seconds(self) -> tuple[float, float]:
        """Where it begins and ends."""
        return self.start / self.rate, self.stop / self.rate

    @property
    def facts(self) -> dict[str, int]:
        """What its file is apart from its sound, as `file_facts` has it."""
        return {"rate": self.rate, "channels": self.channels.shape[1], "bits": self.bits}


class _Forward(SoundStream):
    """Read once from start to end: soundfile seeks after every block otherwise, which not every codec does exactly."""

    def seekable(self) -> bool:
        return False


def cut_windows(path: Path, seconds: float, hop: float, lowest_rate: int, follow: float | None = None) -> Iterator[Cut]:
    """Windows of a recording of any length, one every `hop` seconds and one that ends with it.

    In memory are a window, a hop and a block. A file that ends too soon or is damaged is read as far as it goes; the
    last thing given then says what is wrong, and when.

    Args:
        path: any file that libsndfile reads.
        seconds: of a window.
        hop: seconds from one window to the next, at most `seconds`.
        lowest_rate: in Hz.
        follow: seconds that a file which is still written must not have grown to have ended, see `GrowingSound`; None:
            the file is complete.

    Raises:
        EndlineError: when the file cannot be read at all, or followed, has a lower rate or is shorter than a window, or
            the hop is longer than a window.

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
        if follow is None or not path.is_file():
            checked_size(path)
        content = StoredSound(path) if follow is None else GrowingSound(path, follow)
    with content:
        for remark in unsure_end(content):
            log.warning("%s: %s", path, remark)
        with one_file(path):
            problem = content.mend()
            if problem is not None and follow is not None:
                raise problem
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
            yield from _windows(path, content, file, round(seconds * rate), max(1, round(hop * rate)), problem)


def _windows(
    path: Path, content: StoredSound, file: SoundStream, length: int, step: int, problem: FileRejected | None
) -> Iterator[Cut]:
    rate, bits = int(file.samplerate), bits_of(file.subtype)
    promised = 0 if file.frames == UNKNOWN else int(file.frames)
    spare = BLOCK if isinstance(content, GrowingSound) else 0  # a recorder may put chunks behind the sound
    held, offset, first, stop = np.zeros((0, int(file.channels)), np.float32), 0, 0, 0
    while True:
        try:
            block = file.read(BLOCK, dtype="float32", always_2d=True)
        except (soundfile.LibsndfileError, OSError):
            problem = problem or FileRejected("the file is damaged, its samples cannot be read to the end", COPY)
            break
        if not len(block):
            if content.more():
                continue
            break
        held = np.concatenate([held, block])
        while offset + len(held) >= first + length:
            stop = first + length
            yield Cut(first, stop, held[first - offset : stop - offset], rate, bits)
            first += step
        # A window that ends with the recording may begin before the next one.
        drop = max(0, min(first, offset + len(held) - length - spare) - offset)
        held, offset = held[drop:], offset + drop
    end = offset + len(held) - content.surplus()
    if problem is None and end < promised and not spare:
        problem = FileRejected(f"the file is truncated, {end} of {promised} samples are there", COPY)
    if end < length:
        said = "" if problem is None else f" ({problem.reason})"
        raise EndlineError(
            f"{path} lasts {end / rate:.3g} s{said}, less than a window of {length / rate:.3g} s: judge it by inspect."
        )
    if stop < end and end - length >= offset:
        yield Cut(end - length, end, held[end - length - offset : end - offset], rate, bits)
    if problem is not None:
        yield Cut(end, end, held[:0], rate, bits, problem)
