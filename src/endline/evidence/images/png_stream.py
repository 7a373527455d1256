"""Whether a PNG file holds all rows of its picture: where its data end too soon, the decoder leaves the rest black.

Read after the PNG specification (W3C 2003), sections 5, 7 and 8.
"""

import struct
import zlib
from collections.abc import Iterator
from math import ceil
from typing import Any

from numpy.typing import NDArray

SIGNATURE = 8  # bytes before the first chunk
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # colour type -> channels
PASSES = [(0, 8, 0, 8), (4, 8, 0, 8), (0, 4, 4, 8), (2, 4, 0, 4), (0, 2, 2, 4), (1, 2, 0, 2), (0, 1, 1, 2)]
BLOCK = 2**20  # bytes that are inflated at once


def is_short(data: bytes, values: NDArray[Any]) -> bool:
    """Whether a PNG file has fewer data than its header promises; they are counted only where rows could be missing.

    Args:
        data: the file.
        values: (H, W) or (H, W, channels), what was decoded of it, whichever side is up.
    """
    chunks = _chunks(data)
    kind, header = next(chunks, (b"", b""))
    if kind != b"IHDR" or len(header) != 13:
        return True
    edges = (values[0], values[-1], values[:, 0], values[:, -1])
    if not header[12] and not any((edge == edge[0]).all() for edge in edges):
        return False
    expected, inflated, stream = _inflated_size(header), 0, zlib.decompressobj()
    for kind, content in chunks:
        rest = content if kind == b"IDAT" else b""
        while rest and not stream.eof:
            inflated += len(stream.decompress(rest, BLOCK))
            rest = stream.unconsumed_tail
    return inflated < expected


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = SIGNATURE
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        yield data[position + 4 : position + 8], data[position + 8 : position + 8 + length]
        position += length + 12


def _inflated_size(header: bytes) -> int:
    """Bytes of all rows, each with the one of its filter, of every pass where the picture is interlaced."""
    width, height, bits, colour_type, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    passes = PASSES if interlaced else [(0, 1, 0, 1)]
    size = 0
    for left, right_step, top, down_step in passes:
        columns, rows = ceil((width - left) / right_step), ceil((height - top) / down_step)
        size += rows * (1 + ceil(columns * bits * CHANNELS[colour_type] / 8)) if columns > 0 and rows > 0 else 0
    return size
