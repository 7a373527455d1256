"""How many bytes sound files of rarer formats must have by their headers: libsndfile reads what is there, in silence.

Read after the formats' definitions: AVR (Audio Visual Research), Creative Voice, NIST SPHERE, MIDI Sample Dump
Standard, Akai MPC2000, MATLAB 5 (level 5 MAT-file), and RFC 3533 (2003) of Ogg.
"""

import re
import struct
from collections.abc import Callable
from math import ceil
from typing import Protocol, SupportsIndex, overload

from endline.errors import FileRejected

REMEDY = "export it as WAV, FLAC or another sound format"
PACKET, PACKET_DATA = 127, 120  # bytes of a packet of a sample dump, and those of its samples
LAST_PAGE = 4  # flag of an Ogg page: its stream ends here
NIST_HEADER = 1024  # bytes; by its definition a header has 1024, of which libsndfile reads no more
START = 64  # bytes that are looked at to know a format


class Content(Protocol):
    """Bytes of a file, in memory or not: only slices are read.

    Example:
        >>> content: Content = b"RIFF"
        >>> len(content), content[:2]
        (4, b'RI')
    """

    def __len__(self) -> int:
        """Size in bytes."""
        ...

    @overload
    def __getitem__(self, key: SupportsIndex, /) -> int: ...

    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...


def check_size(content: Content) -> None:
    """Refuse the content of a sound file that is shorter than its header promises, where the format is one of these.

    Raises:
        FileRejected: when bytes are missing.

    Example:
        >>> check_size(b"2BIT" + bytes(22) + bytes([0, 0, 0, 9]))
        Traceback (most recent call last):
        endline.errors.FileRejected: the file is truncated, 98 bytes that its header promises are missing: copy it ...
    """
    for start, size in SIZES.items():
        if re.match(start, content[:START], re.DOTALL):
            try:
                missing = size(content) - len(content)
            except (struct.error, AttributeError, ValueError):  # the header itself ends too soon
                raise FileRejected("the file is truncated within its header", "copy it again from its source") from None
            if missing > 0:
                raise truncated(missing)
    if content[:4] == b"OggS" and not _is_ended(content):
        raise FileRejected(
            "the file is truncated, the last page of its Ogg stream is missing", "copy it again from its source"
        )


def lengthless(content: Content) -> str:
    r"""What a file is called that libsndfile reads, but that does not say how long it is; "" for one that does.

    Half of such a file looks as whole as all of it does.

    Example:
        >>> lengthless(b"PVF1\n1 44100 16\n"), lengthless(b"RIFF")
        ('a PVF file', '')
    """
    for start, name in LENGTHLESS.items():
        if re.match(start, content[:START], re.DOTALL):
            return name
    if content[:8] == b"NIST_1A\n" and b"sample_count" not in content[:NIST_HEADER]:
        return "this NIST file"
    return ""


def truncated(missing: int) -> FileRejected:
    """What is wrong with a file that lacks some bytes."""
    return FileRejected(
        f"the file is truncated, {missing} bytes that its header promises are missing", "copy it again from its source"
    )


def _avr(content: Content) -> int:
    stereo, bits, frames = struct.unpack(">hh10xI", content[12:30])
    return 128 + int(frames) * (2 if stereo else 1) * (int(bits) // 8)


def _voc(content: Content) -> int:
    """Blocks of one byte of their kind and three of their length; kind 0, the last one, is that byte alone."""
    at = int.from_bytes(content[20:22], "little")
    while at + 4 <= len(content) and content[at] != 0:
        at += 4 + int.from_bytes(content[at + 1 : at + 4], "little")
    return at


def _nist(content: Content) -> int:
    """Lines of a name, a type and a value; without a count of samples there is no promise."""
    header = int(content[8:16])
    lines = re.findall(rb"^(\w+) -i (\d+)", content[:header], re.MULTILINE)
    values = {name: int(value) for name, value in lines}
    companded = re.search(rb"^sample_coding -s\d+ [au]-?law", content[:header], re.MULTILINE)
    size = 1 if companded else values.get(b"sample_n_bytes", 2)  # libsndfile writes 2 of both
    return header + values.get(b"sample_count", 0) * values.get(b"channel_count", 1) * size


def _sds(content: Content) -> int:
    bits, (low, middle, high) = content[6], content[10:13]  # numbers of seven bits a byte
    words = low | middle << 7 | high << 14
    return 21 + PACKET * ceil(words / (PACKET_DATA // ceil(bits / 7)))


def _mpc2000(content: Content) -> int:
    stereo, frames = struct.unpack("<?8xI", content[21:34])
    return 42 + 2 * int(frames) * (2 if stereo else 1)


def _mat5(content: Content) -> int:
    """Elements of a type and a length, four bytes each; libsndfile counts those eight to the last one's length."""
    at, order = 128, "<" if content[126:128] == b"IM" else ">"
    while at + 8 <= len(content):
        at += 8 + int(struct.unpack(f"{order}4xI", content[at : at + 8])[0])
    return at - 8


def _is_ended(content: Content) -> bool:
    """Whether an Ogg file ends with a whole page that is the last one of a stream."""
    at, flags = 0, 0
    while content[at : at + 4] == b"OggS" and at + 27 <= len(content):
        flags, segments = content[at + 5], content[at + 26]
        at += 27 + segments + sum(content[at + 27 : at + 27 + segments])
    return at <= len(content) and bool(flags & LAST_PAGE)


# By how such a file begins.
LENGTHLESS = {
    rb" paf|fap ": "a PAF file",
    rb"PVF1": "a PVF file",
    rb"\x64\xa3[\x01-\x04]\x00|\x00[\x01-\x04]\xa3\x64": "an IRCAM file",
}
SIZES: dict[bytes, Callable[[Content], int]] = {
    rb"2BIT": _avr,
    rb"Creative Voice File\x1a": _voc,
    rb"NIST_1A\n": _nist,
    rb"\xf0\x7e.\x01": _sds,
    rb"\x01\x04[ -~]{16}": _mpc2000,
    rb"MATLAB 5\.0": _mat5,
}
