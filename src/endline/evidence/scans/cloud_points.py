"""What readers of point clouds share: how many points are read, and x, y and z of records and of lines."""

from collections.abc import Mapping
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from endline.errors import FileRejected

Points = NDArray[np.float32]
Cut = tuple[str, str]  # reason and remedy where a file ends too early


def check_points(count: int, megapixels: float) -> None:
    """Refuse more pixels or points than `megapixels` million.

    Raises:
        FileRejected: for more.
    """
    if count > megapixels * 1e6:
        raise FileRejected(
            f"the scan has {count / 1e6:.4g} million points, more than the limit of {megapixels:g}",
            f"crop it, thin it out, or raise the limit (--params=max_megapixels={-(-count // 1_000_000)})",
        )


def xyz(columns: Mapping[str, NDArray[Any]] | NDArray[Any]) -> Points:
    """Points (n, 3) of columns by name.

    Example:
        >>> xyz({axis: np.array([value]) for axis, value in (("x", 1), ("y", 2), ("z", 3))}).tolist()
        [[1.0, 2.0, 3.0]]
    """
    return np.stack([columns[axis].astype(np.float32) for axis in "xyz"], axis=-1)


def records(file: IO[bytes], count: int, layout: np.dtype[Any], cut: Cut) -> NDArray[Any]:
    """The next records of a file.

    Raises:
        FileRejected: `cut` where there are fewer.
    """
    data = file.read(count * layout.itemsize)
    if len(data) < count * layout.itemsize:
        raise FileRejected(*cut)
    return np.frombuffer(data, layout)


def text_columns(file: IO[bytes], count: int, names: list[str], cut: Cut) -> Points:
    """x, y and z (count, 3) of the next lines of a text, whose columns have these names.

    Raises:
        FileRejected: `cut` where there are fewer lines or numbers in a line.
    """
    chosen = [names.index(axis) for axis in "xyz"]
    lines = [line for line, _ in zip(file, range(count), strict=False)]
    words = [line.split() for line in lines]
    if len(words) < count or any(len(line) < len(names) for line in words):
        raise FileRejected(*cut)
    try:
        return np.array([[line[column] for column in chosen] for line in words], np.float32).reshape(-1, 3)
    except ValueError as error:
        raise FileRejected("a vertex is no number", "export it again from its source") from error
