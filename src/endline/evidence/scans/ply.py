"""PLY files: x, y and z of their vertices, text or binary, organised where the header says so."""

import re
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from endline.errors import FileRejected
from endline.evidence.scans.cloud_points import check_points, records, text_columns, xyz

TYPES = {
    **dict.fromkeys(("char", "int8"), "i1"),
    **dict.fromkeys(("uchar", "uint8"), "u1"),
    **dict.fromkeys(("short", "int16"), "i2"),
    **dict.fromkeys(("ushort", "uint16"), "u2"),
    **dict.fromkeys(("int", "int32"), "i4"),
    **dict.fromkeys(("uint", "uint32"), "u4"),
    **dict.fromkeys(("float", "float32"), "f4"),
    **dict.fromkeys(("double", "float64"), "f8"),
}
ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": ""}
LONGEST = 65536  # bytes of a header
SIDES = re.compile(r"(?:obj_info|comment)\s+(?:num_)?(cols|rows|width|height)\s*[:=]?\s*(\d+)\s*$", re.IGNORECASE)
CUT = ("the PLY file is cut short", "copy it again from its source")
NO_HEADER = ("no PLY file: its header is damaged", "export it again from its source")


class Header(NamedTuple):
    """What the header of a PLY file says.

    Attributes:
        order: `<`, `>`, or nothing for text.
        vertices: number of vertices.
        fields: name and type of each property of a vertex.
        first: whether vertices are the first element, so that they begin where the header ends.
        shape: (rows, columns) where the points are organised, else None.

    Example:
        >>> Header("<", 6, (("x", "f4"), ("y", "f4"), ("z", "f4")), True, (2, 3)).shape
        (2, 3)
    """

    order: str
    vertices: int
    fields: tuple[tuple[str, str], ...]
    first: bool
    shape: tuple[int, int] | None


def read_ply(path: Path, megapixels: float) -> NDArray[np.float32]:
    """Points (n, 3) of a PLY file, or (rows, columns, 3) of one whose header tells rows and columns.

    Rows and columns are those of `obj_info num_cols` and `num_rows`, as range scans have them, or of comments that say
    `width` and `height`; they count where their product is the number of vertices. Other elements (faces) that come
    after the vertices are passed over.

    Args:
        path: of the file.
        megapixels: largest number of points, in millions.

    Raises:
        FileRejected: for a damaged header, x, y or z that is missing, more points than that, or points cut short.
        OSError: when the disk or the rights to it fail.
    """
    with path.open("rb") as file:
        header = read_header(file)
        if not header.first:
            raise FileRejected("its vertices are not the first element of the PLY file", "export the vertices alone")
        check_points(header.vertices, megapixels)
        points = _text(file, header) if header.order == "" else _binary(file, header)
    return points.reshape(*header.shape, 3) if header.shape else points


def read_header(file: IO[bytes]) -> Header:
    r"""The header of an open PLY file, which stands at the first vertex afterwards.

    Raises:
        FileRejected: when it is damaged, or there is no x, y or z.

    Example:
        >>> import io
        >>> lines = ["ply", "format ascii 1.0", "element vertex 9", "property float x", "property float z"]
        >>> read_header(io.BytesIO("\n".join([*lines, "end_header"]).encode()))
        Traceback (most recent call last):
        endline.errors.FileRejected: the PLY file has no y among the properties of its vertices (x, z): export x, y ...
    """
    order, vertices, sides = None, None, {}
    fields: list[tuple[str, str]] = []
    elements: list[str] = []
    for number, line in enumerate(_lines(file)):
        words = line.split()
        if number == 0 and line.strip() != "ply":
            raise FileRejected("no PLY file: it does not begin with 'ply'", "export it again from its source")
        if words[:1] == ["format"]:
            order = ORDERS.get(words[1]) if len(words) == 3 else None
        elif words[:1] == ["element"] and len(words) == 3 and words[2].isdecimal():
            elements.append(words[1])
            vertices = int(words[2]) if words[1] == "vertex" else vertices
        elif words[:1] == ["property"] and elements[-1:] == ["vertex"]:
            if len(words) != 3 or words[1] not in TYPES:
                raise FileRejected(f"its vertices have a property that is no number ({line.strip()})", "export x, y, z")
            fields.append((words[2], TYPES[words[1]]))
        elif said := SIDES.match(line):
            sides[said[1].lower()] = int(said[2])
    names = [name for name, _ in fields]
    if order is None or vertices is None or len(set(names)) != len(names):
        raise FileRejected(*NO_HEADER)
    if missing := [axis for axis in "xyz" if axis not in names]:
        raise FileRejected(
            f"the PLY file has no {' and no '.join(missing)} among the properties of its vertices "
            f"({', '.join(names) or 'none'})",
            "export x, y and z",
        )
    rows, columns = sides.get("rows", sides.get("height", 0)), sides.get("cols", sides.get("width", 0))
    shape = (rows, columns) if rows > 1 and columns > 1 and rows * columns == vertices else None
    return Header(order, vertices, tuple(fields), elements[0] == "vertex", shape)


def _lines(file: IO[bytes]) -> list[str]:
    """Lines of the header without its last, `end_header`."""
    lines: list[str] = []
    length = 0
    while length < LONGEST:
        line = file.readline(LONGEST)
        length += len(line)
        text = line.decode("latin-1").rstrip("\r\n")
        if text.strip() == "end_header":
            return lines
        if not line or (not lines and text.strip() != "ply"):
            return [text] if not lines else _damaged()
        lines.append(text)
    return _damaged()


def _damaged() -> list[str]:
    raise FileRejected(*NO_HEADER)


def _binary(file: IO[bytes], header: Header) -> NDArray[np.float32]:
    layout = np.dtype([(name, header.order + kind) for name, kind in header.fields])
    return xyz(records(file, header.vertices, layout, CUT))


def _text(file: IO[bytes], header: Header) -> NDArray[np.float32]:
    return text_columns(file, header.vertices, [name for name, _ in header.fields], CUT)
