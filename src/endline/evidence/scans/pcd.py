"""PCD files (Point Cloud Library): x, y and z of their points, text, binary or compressed, organised where they are."""

from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from endline.errors import FileRejected
from endline.evidence.scans.cloud_points import check_points, records, text_columns, xyz

LONGEST = 65536  # bytes of a header
CUT = ("the PCD file is cut short", "copy it again from its source")
NO_HEADER = ("no PCD file: its header is damaged", "export it again from its source")
KINDS = {"F": "f", "I": "i", "U": "u"}
SIZES = {"f": (4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}


class Header(NamedTuple):
    """What the header of a PCD file says.

    Attributes:
        fields: name, type and number of values of each field of a point.
        width, height: of the cloud; a height of 1 is that of one without rows.
        data: `ascii`, `binary` or `binary_compressed`.

    Example:
        >>> Header((("x", "<f4", 1),), 640, 480, "binary").points
        307200
    """

    fields: tuple[tuple[str, str, int], ...]
    width: int
    height: int
    data: str

    @property
    def points(self) -> int:
        """Number of points."""
        return self.width * self.height


def read_pcd(path: Path, megapixels: float) -> NDArray[np.float32]:
    """Points (n, 3) of a PCD file, or (height, width, 3) of an organised one.

    Args:
        path: of the file.
        megapixels: largest number of points, in millions.

    Raises:
        FileRejected: for a damaged header, x, y or z that is missing, more points than that, or points cut short.
        OSError: when the disk or the rights to it fail.
    """
    with path.open("rb") as file:
        header = read_header(file)
        check_points(header.points, megapixels)
        if header.data == "ascii":
            names = [name for name, _, count in header.fields for _ in range(count)]
            points = text_columns(file, header.points, names, CUT)
        elif header.data == "binary":
            points = _binary(file, header)
        else:
            points = _compressed(file, header)
    return points.reshape(header.height, header.width, 3) if header.height > 1 else points


def read_header(file: IO[bytes]) -> Header:
    r"""The header of an open PCD file, which stands at the first point afterwards.

    Raises:
        FileRejected: when it is damaged, or there is no x, y or z.

    Example:
        >>> import io
        >>> lines = ["FIELDS x y", "SIZE 4 4", "TYPE F F", "COUNT 1 1", "WIDTH 9", "HEIGHT 1", "DATA ascii"]
        >>> read_header(io.BytesIO("\n".join(lines).encode()))
        Traceback (most recent call last):
        endline.errors.FileRejected: the PCD file has no z among its fields (x, y): export x, y and z.
    """
    said: dict[str, list[str]] = {}
    length = 0
    while "DATA" not in said:
        line = file.readline(LONGEST)
        length += len(line)
        if not line or length > LONGEST:
            raise FileRejected(*NO_HEADER)
        words = line.decode("latin-1").split()
        if words and not words[0].startswith("#"):
            said[words[0]] = words[1:]
    try:
        names, kinds = said["FIELDS"], [KINDS[kind] for kind in said["TYPE"]]
        sizes = [int(size) for size in said["SIZE"]]
        counts = [int(count) for count in said.get("COUNT", ["1"] * len(names))]
        types = [f"<{kind}{size}" for kind, size in zip(kinds, sizes, strict=True) if size in SIZES[kind]]
        fields = tuple(zip(names, types, counts, strict=True))
        width, height, data = int(said["WIDTH"][0]), int(said["HEIGHT"][0]), said["DATA"][0].lower()
    except (KeyError, ValueError, IndexError) as error:
        raise FileRejected(*NO_HEADER) from error
    if min(width, height, *counts) < 0 or data not in ("ascii", "binary", "binary_compressed"):
        raise FileRejected(*NO_HEADER)
    single = [name for name, _, count in fields if count == 1]
    if missing := [axis for axis in "xyz" if axis not in single]:
        raise FileRejected(
            f"the PCD file has no {' and no '.join(missing)} among its fields ({', '.join(names)})", "export x, y and z"
        )
    return Header(fields, width, height, data)


def _binary(file: IO[bytes], header: Header) -> NDArray[np.float32]:
    layout = np.dtype(
        {
            "names": [f"{number}" for number in range(len(header.fields))],  # padding fields share one name
            "formats": [(kind, (count,)) if count != 1 else kind for _, kind, count in header.fields],
        }
    )
    points = records(file, header.points, layout, CUT)
    return xyz({name: points[f"{number}"] for number, (name, _, _) in enumerate(header.fields)})


def _compressed(file: IO[bytes], header: Header) -> NDArray[np.float32]:
    """Points of a file whose fields lie one after the other, packed by LZF."""
    sizes = file.read(8)
    packed, full = (int.from_bytes(part, "little") for part in (sizes[:4], sizes[4:]))
    lengths = [header.points * np.dtype(kind).itemsize * count for _, kind, count in header.fields]
    data = file.read(packed)
    if len(sizes) < 8 or len(data) < packed or full != sum(lengths):
        raise FileRejected(*CUT)
    plain = unpacked(data, full)
    starts = np.cumsum([0, *lengths])
    columns = {
        name: np.frombuffer(plain, kind, header.points * count, start)
        for (name, kind, count), start in zip(header.fields, starts.tolist(), strict=False)
    }
    return xyz(columns)


def unpacked(data: bytes, length: int) -> bytes:
    """What was packed by LZF (Lehmann's LibLZF), `length` bytes.

    A control byte below 32 stands before so many literal bytes and one more; a larger one has in its upper three bits a
    length, less two, which a byte follows where they are all set, and in its lower five the upper bits of how far back
    the same bytes lie, less one.

    Raises:
        FileRejected: when the data give another length.

    Example:
        >>> unpacked(bytes([1, 97, 98, 64, 1]), 6)
        b'ababab'
    """
    plain, at, end = bytearray(), 0, len(data)
    try:
        while at < end and len(plain) <= length:
            control = data[at]
            at += 1
            if control < 32:
                plain += data[at : at + control + 1]
                at += control + 1
                continue
            count = control >> 5
            if count == 7:
                count += data[at]
                at += 1
            count += 2
            start = len(plain) - ((control & 31) << 8) - data[at] - 1
            at += 1
            if start < 0:
                break
            repeated = bytes(plain[start : start + count])
            plain += (repeated * -(-count // len(repeated)))[:count]  # it may run into what it writes
    except IndexError as error:
        raise FileRejected(*CUT) from error
    if len(plain) != length:
        raise FileRejected(*CUT)
    return bytes(plain)
