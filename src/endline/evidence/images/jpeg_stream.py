"""Whether a JPEG file holds all of its picture: the decoder fills what is missing with grey and says nothing.

Read after ITU-T T.81 (1992): annex B of the markers, E of the restart intervals, G of progressive scans.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL.JpegImagePlugin import JpegImageFile

SOI, EOI, SOS, DRI = 0xD8, 0xD9, 0xDA, 0xDD
RESTARTS = range(0xD0, 0xD8)
SEQUENTIAL = (0xC0, 0xC1)  # frames coded in one go; the progressive one is 0xC2
FRAMES = (*SEQUENTIAL, 0xC2)
MISSING = 128  # grey that libjpeg draws where a scan has run out of data
SECTOR = 64  # zero bytes in a row that a scan seldom holds: those of a part of a file that was never written
FILLER = bytes(range(1, 255)) * 2  # more data, as an unfinished scan would read them
MOST = 8  # segments that are tried again, those with the longest run of zeros first


@dataclass
class JpegStream:
    r"""The first picture of a JPEG file, marker by marker.

    Attributes:
        end: position of its end marker; None where there is none.
        scans: number of scans.
        coded: (start, end) of the coded data of each scan, or of each part of it between restart markers; without the
            scans of bits as they are, which say the same number of blocks whatever is in them.
        restarts: number of restart markers.
        interval: units between two of them; 0 without.
        frame: marker and content of its frame header.

    Example:
        >>> JpegStream.read(b"\xff\xd8\xff\xd9").end
        2
    """

    end: int | None = None
    scans: int = 0
    coded: list[tuple[int, int]] = field(default_factory=list)
    restarts: int = 0
    interval: int = 0
    frame: tuple[int, bytes] = (0, b"")

    @classmethod
    def read(cls, data: bytes) -> "JpegStream":
        """Walk through the markers of a file."""
        stream, bare = cls(), False
        for marker, start, end in _segments(data):
            if marker == EOI:
                stream.end = start - 2
                break
            if marker == SOS:
                stream.scans += 1
                first = start + int.from_bytes(data[start : start + 2], "big")
                bare = data[first - 2] == 0 and data[first - 1] >= 16  # the last bit of DC values
                stream.coded += [] if bare else [(first, end)]
            elif marker in RESTARTS:
                stream.restarts += 1
                stream.coded += [] if bare else [(start, end)]
            elif marker == DRI:
                stream.interval = int.from_bytes(data[start + 2 : start + 4], "big")
            elif marker in FRAMES:
                stream.frame = marker, data[start + 2 : end]
        return stream

    @property
    def in_one_scan(self) -> bool:
        """Whether all components are coded in one sequential scan, from the first row to the last."""
        return self.frame[0] in SEQUENTIAL and self.scans == 1

    @property
    def expected_restarts(self) -> int:
        """Number of restart markers that a picture coded in one scan must have."""
        content = self.frame[1]
        height, width, components = (
            int.from_bytes(content[1:3], "big"),
            int.from_bytes(content[3:5], "big"),
            content[5],
        )
        factors = [divmod(content[7 + 3 * number], 16) for number in range(components)]
        across, down = (8 * max(each) for each in zip(*factors, strict=True)) if components > 1 else (8, 8)
        return ceil(ceil(width / across) * ceil(height / down) / self.interval) - 1 if self.interval else 0


def is_incomplete(data: bytes, values: NDArray[Any]) -> bool:
    """Whether coded data of a picture are missing, or a part of its file was never written.

    A picture is tried again with more data behind its own, or with less, only where something points to a fault: a
    scan that has all it needs does not look at what follows, and one that needs all it has cannot do without its end.

    Args:
        data: the file.
        values: (H, W, 3) uint8, what was decoded of it, upright.
    """
    stream = JpegStream.read(data)
    if stream.end is None or not stream.scans:
        return True
    if stream.frame[0] not in FRAMES:
        return False
    corners = values[[0, 0, -1, -1], [0, -1, 0, -1]]  # the last one coded is one of them, whichever side is up
    ends_grey = bool((np.abs(corners.astype(int) - MISSING) <= 1).all(axis=1).any())
    if stream.in_one_scan and stream.interval and stream.restarts < stream.expected_restarts:
        return True
    if (ends_grey or not stream.in_one_scan) and _differs(data, data[: stream.end] + FILLER + data[stream.end :]):
        return True
    return any(_is_unwritten(data, *where) for where in _with_zeros(data, stream.coded))


def _with_zeros(data: bytes, coded: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Segments that hold so many zero bytes in a row as sound ones seldom do, the longest runs first."""
    zeros = re.compile(rb"\0{%d,}" % SECTOR)
    runs = [(max((len(run) for run in zeros.findall(data, *where)), default=0), where) for where in coded]
    return [where for run, where in sorted(runs, reverse=True) if run][:MOST]


def _is_unwritten(data: bytes, start: int, end: int) -> bool:
    """Whether the zeros of a segment are none of its own: decoded, they are more blocks, or fewer, than they stand for.

    Then it has data left that are not looked at, or has not enough; a sound one, such as that of a white background,
    needs its last bytes and nothing more, unless it says the same whatever is in it: it has a code for one value alone.
    """

    def changed(first: int) -> bytes:
        return data[:first] + (FILLER * (1 + (end - first) // len(FILLER)))[: end - first] + data[end:]

    unread = not _differs(data, changed(max(start, end - SECTOR))) and _differs(data, changed(start))
    return unread or _differs(data, data[:end] + FILLER + data[end:])


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment; that of a scan, and of a restart, ends with its coded data."""
    position = 0
    while (position := data.find(b"\xff", position)) >= 0 and position + 1 < len(data):
        marker = data[position + 1]
        start = position + 2
        if marker in (0x00, 0xFF):  # a stuffed byte, or a fill byte before a marker
            position += 2 if marker == 0 else 1
            continue
        end = start
        if marker == SOS or marker in RESTARTS:
            end = _end_of_scan(data, start)
        elif marker not in (SOI, EOI, 0x01):
            end = start + int.from_bytes(data[start : start + 2], "big")
        yield marker, start, end
        position = end


def _end_of_scan(data: bytes, position: int) -> int:
    while (position := data.find(b"\xff", position)) >= 0 and position + 1 < len(data):
        if data[position + 1] not in (0x00, 0xFF):
            return position
        position += 2 if data[position + 1] == 0 else 1
    return len(data)


def _differs(data: bytes, other: bytes) -> bool:
    """Whether another stream gives another picture."""
    return JpegImageFile(BytesIO(data)).tobytes() != JpegImageFile(BytesIO(other)).tobytes()
