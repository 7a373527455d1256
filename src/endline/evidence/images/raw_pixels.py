"""Whether a block of an uncompressed picture's file was never written: its pixels are then exact zeros.

A disk loses whole sectors, wherever they begin in a row. A black part of a scene does not begin and end with a sector,
or it touches the edge of the picture, or black pixels lie around it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import ImageFile

SECTOR = 512  # bytes
PAGE = 4096  # bytes; a block within one row, which a line drawn into the picture may be, must be whole pages
CHANCE = 8  # zero bytes beside a block that are its neighbours' own
WORD = 4  # bytes of one pixel or more: black where all are 0
BRIGHT = 0.9  # of the words of the rows around a block, at least


@dataclass(frozen=True)
class RawRows:
    """Rows of pixels that lie one behind the other in a file.

    Attributes:
        offset: position of the first byte.
        stride: bytes from a row to the next.
        count: number of rows.

    Example:
        >>> RawRows(offset=54, stride=1200, count=300).end
        360054
    """

    offset: int
    stride: int
    count: int

    @property
    def end(self) -> int:
        """Position behind the last row."""
        return self.offset + self.stride * self.count


def raw_rows(tiles: Iterable[ImageFile._Tile]) -> list[RawRows]:
    """The rows of an image that has not been loaded, those of adjoining strips together; none where it is compressed.

    Args:
        tiles: of Pillow's image.
    """
    strips: list[RawRows] = []
    for tile in sorted(tiles, key=lambda tile: tile.offset):
        if tile.codec_name != "raw" or tile.extents is None:
            return []
        left, top, right, bottom = tile.extents
        form, stride, *_ = (*tile.args, 0) if isinstance(tile.args, tuple) else (tile.args, 0)
        stride = stride or ((right - left) * _bits(str(form)) + 7) // 8
        own = RawRows(tile.offset, stride, bottom - top)
        if strips and strips[-1].end == own.offset and strips[-1].stride == stride:
            own = RawRows(strips[-1].offset, stride, strips.pop().count + own.count)
        strips.append(own)
    return strips


def _bits(form: str) -> int:
    """Bits of a pixel in a file by Pillow's name of its form, such as `RGB`, `L;4` or `RGB;16B`."""
    name, _, form = form.partition(";")
    digits = re.match(r"\d+", form)
    return len(name) * (int(digits[0]) if digits else 1 if name == "1" else 8)


def has_unwritten_block(data: bytes, rows: RawRows) -> bool:
    """Whether some sectors are zero that neither begin nor end with a row, and no black pixels lie around them.

    Args:
        data: the file.
        rows: of its pixels.
    """
    return any(_is_unwritten(data, rows, *block) for block in _zero_sectors(data, rows))


def _zero_sectors(data: bytes, rows: RawRows) -> Iterator[tuple[int, int]]:
    """(start, end) of each run of sectors within some rows that hold zeros alone."""
    first, last = -(-rows.offset // SECTOR), min(rows.end, len(data)) // SECTOR
    if last <= first:
        return
    words: NDArray[np.uint64] = np.frombuffer(data, np.uint64, (last - first) * SECTOR // 8, first * SECTOR)
    zero = ~words.reshape(last - first, -1).any(1)
    edges = np.flatnonzero(np.diff(np.r_[False, zero, False].astype(np.int8)))
    for start, end in edges.reshape(-1, 2):
        yield (first + int(start)) * SECTOR, (first + int(end)) * SECTOR


def _is_unwritten(data: bytes, rows: RawRows, start: int, end: int) -> bool:
    if end - start <= rows.stride and (start % PAGE or end % PAGE):
        return False
    inside = range(CHANCE, rows.stride - CHANCE)
    if (start - rows.offset) % rows.stride not in inside or (end - rows.offset) % rows.stride not in inside:
        return False
    if start - rows.stride < rows.offset or end + rows.stride > min(rows.end, len(data)):
        return False
    # The run of zeros begins and ends with the sectors.
    if not any(data[start - CHANCE - 1 : start]) or not any(data[end : end + CHANCE + 1]):
        return False
    return _is_bright(data[start - rows.stride : start]) and _is_bright(data[end : end + rows.stride])


def _is_bright(values: bytes) -> bool:
    """Whether hardly any pixel of a row is black: the row that ends before a block, or begins behind it."""
    words = np.frombuffer(values, np.uint8, len(values) // WORD * WORD).reshape(-1, WORD)
    return bool(words.any(1).mean() >= BRIGHT) if len(words) else False
