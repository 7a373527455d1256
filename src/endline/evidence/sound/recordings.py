"""Reading recordings and refusing bad ones."""

import io
import logging
import os
import re
from pathlib import Path

import numpy as np
import soundfile

from endline.errors import EndlineError, FileRejected
from endline.evidence.sound.promised_sizes import REMEDY, Content, lengthless
from endline.evidence.sound.signals import MEAN, Channels, Signal, check_rate, check_samples, one_channel
from endline.evidence.sound.sound_headers import checked_header

LOWEST_RATE = 16_000  # Hz; below it the upper half of the mel image could only be guessed
LONGEST = 60.0  # s, a recording of two motions is some 6 s long
LONGEST_SETTING = "ENDLINE_LONGEST_RECORDING"
DENSEST = 400_000  # values a second of all channels together: two at 192 kHz
UNKNOWN = np.iinfo(np.int64).max  # frames of a file without a length, in libsndfile
log = logging.getLogger(__name__)


class SoundStream(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A sound file that is read without a seek where that fails: its length is not known, or its coding is DWVW.

    Example:
        >>> file = io.BytesIO()
        >>> soundfile.write(file, np.zeros(100), 44_100, format="FLAC")
        >>> SoundStream(io.BytesIO(file.getvalue())).read(frames=1000).shape
        (100,)
    """

    def seekable(self) -> bool:
        """Whether it may be sought: a FLAC that was written to a pipe has no length, and DWVW only runs forward."""
        return bool(super().seekable()) and self.frames != UNKNOWN and not self.subtype.startswith("DWVW")


def read_recording(path: Path, *, channel: str = MEAN, lowest_rate: int = LOWEST_RATE) -> tuple[Signal, int]:
    """Read any file that libsndfile knows as one channel.

    A constant offset is taken away and a silent channel left out, each with a warning in the log, and so is a format
    that does not say how long it is, for nothing tells whether its end is missing. The header of a
    file that a program wrote to a pipe, with no true length in it, is mended in memory. A recording may last 60 s; the
    environment variable ENDLINE_LONGEST_RECORDING gives another limit in seconds. Nothing beyond it is read.

    Args:
        path: of the file.
        channel: of several channels their `mean`, the `difference` of the first two, or the number of one, from 1; a
            file of one channel is that channel.
        lowest_rate: in Hz.

    Returns:
        The signal, (samples,) float32 in full-scale units, and its rate in Hz.

    Raises:
        FileRejected: for a file that is unreadable, empty, truncated, longer than the limit, not finite, silent,
            clipped, not in full-scale units or below the lowest rate, whose channels cancel each other, or that lacks
            the channel or does not say how long it is.
        EndlineError: when ENDLINE_LONGEST_RECORDING is no number of seconds.
    """
    size = checked_size(path)
    longest = _longest()
    most = round(longest * DENSEST)  # values
    if size > 8 * most:
        raise _too_long(f"the file is {size / 1e6:.0f} MB large", longest)
    with path.open("rb") as opened:
        content = checked_header(opened.read())
    try:
        with SoundStream(io.BytesIO(content)) as file:
            channels, rate, promised = _read_channels(file, longest, most)
    except soundfile.LibsndfileError as error:
        raise FileRejected("no sound file that libsndfile can read", REMEDY) from error
    if len(channels) == 0:
        raise FileRejected("the recording holds no samples", "record it again")
    if len(channels) < promised:
        raise FileRejected(
            f"the file is truncated, {len(channels)} of {promised} samples are there",
            "copy it again from its source",
        )
    check_samples(channels)
    check_rate(rate, lowest_rate)
    signal, remarks = one_channel(channels, channel)
    for remark in [*unsure_end(content), *remarks]:
        log.warning("%s: %s", path, remark)
    return signal, rate


def checked_size(path: Path) -> int:
    """Size in bytes of a file that may be a recording.

    Raises:
        FileRejected: when it is missing, empty, or of a format that says too little of itself.
    """
    if not path.is_file():
        raise FileRejected("the file does not exist", "restore it or take it out of the label table")
    size = path.stat().st_size
    if size == 0:
        raise FileRejected("the file is empty (0 bytes)", "record it again")
    if path.suffix.lower() == ".raw":
        raise FileRejected("a raw file says neither its rate nor its format", REMEDY)
    if path.suffix.lower() == ".sd2":
        raise FileRejected(
            "a Sound Designer II file keeps its header outside of its data, where nothing reads it", REMEDY
        )
    return size


def unsure_end(content: Content) -> list[str]:
    """Remark on a file whose end may be missing without a sign of it; none on others."""
    name = lengthless(content)
    return [f"{name} does not say how long it is: if its end is missing, nothing tells."] if name else []


def check_coding(file: SoundStream) -> None:
    """Refuse an opened file whose format leaves out what must be known, or whose samples libsndfile reads wrongly."""
    if file.format == "XI":  # libsndfile takes 44100 Hz for each
        raise FileRejected("an XI file does not say its rate", REMEDY)
    if file.subtype == "ALAC_20" and file.channels > 1:  # loud ones come back with other samples, up to full scale
        raise FileRejected("20-bit Apple Lossless sound of several channels is read wrongly by libsndfile", REMEDY)


def sound_endings() -> set[str]:
    """Endings (lower case) of the files that libsndfile may read.

    Example:
        >>> {".wav", ".flac", ".aif"} <= sound_endings()
        True
    """
    return {f".{name.lower()}" for name in soundfile.available_formats()} | {".aif", ".oga", ".opus"}


def _longest() -> float:
    """Longest recording in seconds."""
    given = os.environ.get(LONGEST_SETTING, "")
    try:
        seconds = float(given or LONGEST)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= 86_400:
        raise EndlineError(
            f"{LONGEST_SETTING}={given} is no number of seconds: give one above 0, at most a day (86400)."
        )
    return seconds


def _too_long(reason: str, longest: float) -> FileRejected:
    return FileRejected(
        f"{reason}, and recordings of up to {longest:g} s are read",
        f"cut out one fold and one unfold, or set the environment variable {LONGEST_SETTING} to more seconds",
    )


def _read_channels(file: SoundStream, longest: float, most: int) -> tuple[Channels, int, int]:
    """Channels, rate, and the number of samples that the header promises (0: it does not know)."""
    rate, count, promised = int(file.samplerate), int(file.channels), int(file.frames)
    check_coding(file)
    missing = missing_by_log(file.extra_info)
    if missing:
        raise FileRejected(
            f"the file is truncated, {missing} that its header promises are missing", "copy it again from its source"
        )
    if promised == UNKNOWN:
        promised = 0
    limit = min(int(longest * rate), most // count)
    if promised > limit:
        raise _too_long(
            f"its header promises {promised / max(rate, 1):.0f} s of sound in {count} channel(s) at {rate} Hz", longest
        )
    try:
        channels = file.read(frames=promised or limit + 1, dtype="float32", always_2d=True)
    except soundfile.LibsndfileError as error:
        raise FileRejected(
            "the file is truncated or damaged, its samples cannot be read to the end", "copy it again from its source"
        ) from error
    if len(channels) > limit:
        raise _too_long(f"it holds more than {limit / max(rate, 1):.0f} s of sound", longest)
    return channels, rate, promised


def missing_by_log(text: str) -> str:
    """What a header promises beyond the file's end by the log of libsndfile, which reads on in silence; "" for nothing.

    Of the formats that neither `checked_header` nor `check_size` knows: AU, RF64, W64, MAT4, SVX, WVE.
    """
    for pattern, unit in (
        (r"^ *(?:data|data size|riff|body) *: (\d+) \(should be (\d+)\)", "bytes"),
        (r"^data length (\d+) should be (\d+)", "bytes"),
        (r"^\*\*\* calculated frame count (?P<there>\d+) does not match value from 'ds64' chunk of (\d+)", "samples"),
        (r"^\*\*\* file seems to be truncated\. (?P<there>\d+) <--> (\d+)", "bytes"),
    ):
        if found := re.search(pattern, text, re.MULTILINE | re.IGNORECASE):
            first, second = map(int, found.groups())
            missing = second - first if "there" in found.groupdict() else first - second
            if missing > (1 if unit == "bytes" else 0):  # a pad byte is often left out
                return f"{missing} {unit}"
    return ""
