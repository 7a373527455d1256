"""Scan files decoded as they are stored, in their own unit: images of depth, arrays, and point clouds."""

import io
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import yaml
from numpy.typing import NDArray

from endline.errors import FileRejected
from endline.evidence.images.decoding import MEGAPIXELS, decode_image
from endline.evidence.scans.cloud_points import check_points
from endline.evidence.scans.pcd import read_pcd
from endline.evidence.scans.placeholders import placeholders
from endline.evidence.scans.ply import read_ply

DAMAGED = ("the scan is damaged or cut short and cannot be decoded", "copy it again from its source")
FORMS = "(height, width) of depth or (height, width, 3) of x, y, z"
COARSE = (
    "its pixels are no depth: they have 8 bits or colours",
    "export the depth as grey PNG of 16 bits, as float TIFF, PLY or PCD",
)
ONE: NDArray[np.int64] = np.array(1)
TALL, NARROW = 64, 12  # rows and columns from and up to which an array of two dimensions is none of depth
NOTHING: NDArray[np.float32] = np.zeros(0, np.float32)


class StoredScan(NamedTuple):
    """A scan as its file holds it.

    Attributes:
        z: (height, width) of an organised scan or (points,) of a cloud; float32, or integers that count steps.
        x, y: of the same shape; (0,) where the file has none.
        pages: int of no dimension, how many of its shape the file holds, of which this is the first.

    Example:
        >>> StoredScan(np.full((4, 6), 500, np.uint16), NOTHING, NOTHING).counts
        True
    """

    z: NDArray[Any]
    x: NDArray[np.float32]
    y: NDArray[np.float32]
    pages: NDArray[np.int64] = ONE

    @property
    def counts(self) -> bool:
        """Whether depth is counted in steps whose size the file does not say."""
        return bool(np.issubdtype(self.z.dtype, np.integer))

    @property
    def placeholders(self) -> tuple[float, ...]:
        """Values of `z` that stand for "not measured", beside 0, see `placeholders`."""
        return placeholders(self.z[self._valued])

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Where there is a depth, of the shape of `z`: 0, NaN, infinity and the `placeholders` stand for none."""
        measured = self._valued
        for value in self.placeholders:
            measured &= self.z != value
        return measured

    @property
    def _valued(self) -> NDArray[np.bool_]:
        valued: NDArray[np.bool_] = np.isfinite(self.z) & (self.z != 0)
        return valued


def decode_scan(path: Path, megapixels: float = MEGAPIXELS) -> StoredScan:
    """Decode a scan file: TIFF, 16-bit PNG, npy, npz, PLY or PCD.

    A PNG named `*_depth.png` beside a `*_info_depth.yaml` is one of Eyecandies, whose 65535 steps go from the smallest
    to the largest depth, in metres, that the YAML file tells.

    Args:
        path: of the file.
        megapixels: largest size, in millions of pixels or points; it is read in the header.

    Raises:
        FileRejected: for a file that is missing, empty, damaged, cut short, too large, or no scan.
        OSError: when the disk or the rights to it fail.
    """
    if not path.is_file():
        raise FileRejected("the file does not exist", "restore it")
    if path.stat().st_size == 0:
        raise FileRejected("the file is empty (0 bytes)", "scan the part again")
    decoder = DECODERS.get(path.suffix.lower())
    if decoder is None:
        raise FileRejected(
            f"the ending '{path.suffix}' is not one of a scan", f"export it as one of {', '.join(sorted(DECODERS))}"
        )
    with _damage():
        return decoder(path, megapixels)


@contextmanager
def _damage() -> Iterator[None]:
    try:
        yield
    except (FileRejected, MemoryError):
        raise
    except Exception as error:  # decoders raise almost anything on a damaged file
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileRejected(*DAMAGED) from error


def _tiff(path: Path, megapixels: float) -> StoredScan:
    import tifffile  # a verdict on a photograph does without

    size = path.stat().st_size
    with tifffile.TiffFile(path) as file:
        pages = sum(each.shape == file.series[0].shape for each in file.series)
        series = file.series[0]  # of pages: tifffile may write an image of x, y and z row by row
        check_points(series.size // (3 if 3 in series.shape else 1), megapixels)
        for page in series.pages:
            if page is None or not page.databytecounts or min(page.databytecounts) == 0:
                raise FileRejected(*DAMAGED)
            if max(map(sum, zip(page.dataoffsets, page.databytecounts, strict=True))) > size:
                raise FileRejected(*DAMAGED)
        try:
            values = series.asarray()
        except ValueError as error:
            if "imagecodecs" in str(error):
                remedy = "export it without compression, or with deflate"
                raise FileRejected("its compression cannot be read", remedy) from error
            raise
    if values.ndim == 3 and values.shape[0] == 3 and values.shape[2] != 3:  # stored plane by plane
        values = np.moveaxis(values, 0, 2)
    return _of_array(values)._replace(pages=np.array(pages))


def _png(path: Path, megapixels: float) -> StoredScan:
    values = decode_image(path, megapixels).values
    if values.ndim != 2 or values.dtype not in (np.uint16, np.int32):
        raise FileRejected(*COARSE)
    about = path.with_name(f"{path.stem.removesuffix('_depth')}_info_depth.yaml")
    if not path.stem.endswith("_depth") or not about.is_file():
        return StoredScan(values, NOTHING, NOTHING)
    try:
        limits = yaml.safe_load(about.read_text())["normalization"]
        low, high = float(limits["min"]), float(limits["max"])
    except (yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise FileRejected(
            f"{about.name} beside it does not tell normalization: min and max", "copy it again from its source"
        ) from error
    return StoredScan((low + values / 65535 * (high - low)).astype(np.float32), NOTHING, NOTHING)


def _npy(path: Path, megapixels: float) -> StoredScan:
    with path.open("rb") as file:
        return _of_array(_loaded(file, megapixels))


def _npz(path: Path, megapixels: float) -> StoredScan:
    with zipfile.ZipFile(path) as archive:
        names = {name.removesuffix(".npy"): name for name in archive.namelist()}

        def array(name: str) -> NDArray[Any]:
            with archive.open(names[name]) as file:
                return _loaded(file, megapixels)

        depth = next((name for name in ("depth", "z") if name in names), None)
        if depth is not None:
            z = _of_array(array(depth)).z
            if not {"x", "y"} <= names.keys():
                return StoredScan(z, NOTHING, NOTHING)
            x, y = array("x"), array("y")
            if x.shape != z.shape or y.shape != z.shape:
                raise FileRejected(
                    f"its arrays differ: {depth} is {z.shape}, x {x.shape}, y {y.shape}", "export arrays of one size"
                )
            return StoredScan(z, x.astype(np.float32), y.astype(np.float32))
        chosen = "xyz" if "xyz" in names else next(iter(names)) if len(names) == 1 else None
        if chosen is None:
            listed = ", ".join(sorted(names)) or "nothing"
            raise FileRejected(f"it holds {listed}, and no array named depth or xyz", "name the array depth or xyz")
        return _of_array(array(chosen))


def _loaded(file: Any, megapixels: float) -> NDArray[Any]:
    """The array of an npy stream, its size judged by the header; nothing is unpickled."""
    head = io.BytesIO(file.read(4096))  # a header of more than that is none of a plain array
    version = np.lib.format.read_magic(head)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(head)
    if dtype.kind not in "fiu":
        raise FileRejected(f"its values are of the type {dtype}, no numbers", "export it as float32")
    count = int(np.prod(shape, dtype=np.int64))
    check_points(count // (shape[-1] if len(shape) and shape[-1] == 3 else 1), megapixels)
    data = head.read() + file.read(count * dtype.itemsize)
    values = np.frombuffer(data, dtype, count)
    return values.reshape(shape, order="F" if fortran else "C")


def _of_array(values: NDArray[Any]) -> StoredScan:
    """A scan of an array of depth, of x, y and z, or of points (n, 3)."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[..., 0]
    if values.dtype.kind in "iu" and values.dtype.itemsize == 1:
        raise FileRejected(*COARSE)
    if values.ndim in (2, 3) and values.shape[-1] == 3:
        x, y, z = (np.ascontiguousarray(values[..., axis], np.float32) for axis in range(3))
        return StoredScan(z, x, y)
    if values.ndim != 2:
        raise FileRejected(f"its array has the shape {values.shape}", f"export one of the shape {FORMS}")
    if values.shape[0] >= TALL and values.shape[1] <= NARROW:
        raise FileRejected(
            f"its array has the shape {values.shape}: points with more than x, y and z, or a strip of depth",
            "export x, y and z alone, of the shape (points, 3)",
        )
    kept = values.astype(np.int64 if values.dtype.kind in "iu" else np.float32)
    return StoredScan(np.ascontiguousarray(kept), NOTHING, NOTHING)


def _ply(path: Path, megapixels: float) -> StoredScan:
    return _of_points(read_ply(path, megapixels))


def _pcd(path: Path, megapixels: float) -> StoredScan:
    return _of_points(read_pcd(path, megapixels))


def _of_points(points: NDArray[np.float32]) -> StoredScan:
    """A scan of points (n, 3), or (height, width, 3) where the cloud is organised."""
    x, y, z = (np.ascontiguousarray(points[..., axis]) for axis in range(3))
    return StoredScan(z, x, y)


DECODERS: dict[str, Callable[[Path, float], StoredScan]] = {
    ".tif": _tiff,
    ".tiff": _tiff,
    ".png": _png,
    ".npy": _npy,
    ".npz": _npz,
    ".ply": _ply,
    ".pcd": _pcd,
}
