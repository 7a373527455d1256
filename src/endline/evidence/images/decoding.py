"""Image files decoded safely: the size is judged by the header, and nothing that is half there is read as whole."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

from endline.errors import EndlineError, FileRejected
from endline.evidence.images.jpeg_stream import is_incomplete
from endline.evidence.images.png_stream import is_short
from endline.evidence.images.raw_pixels import has_unwritten_block, raw_rows

MEGAPIXELS = 100.0  # above it a file is refused, where nothing else is asked for
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")  # named, for among Pillow's others are some that run programs
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pbm", ".pgm", ".ppm", ".pfm"})
DEEP_MODES = ("1", "I", "F")  # and I;16...: Pillow's modes of one channel that 8 bits would not hold as they are
DEEPEST = 65535
GREY = ("1", "L", "LA", "I", "F")  # and I;16...: Pillow's grey modes
ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC = 0x112, 258, 262  # tags of EXIF and TIFF
LACKING = {"JPEG": is_incomplete, "MPO": is_incomplete, "PNG": is_short}  # formats that Pillow reads half with no word
DAMAGED = ("the image is damaged or cut short and cannot be decoded", "copy it again from its source")
UNWRITTEN = ("a block of zeros lies within its pixels, a part of the file was never written", DAMAGED[1])
EXCHANGED = {"16B": "16L", "16L": "16B", "16N": "16B" if sys.byteorder == "little" else "16L"}
DARKEST = 64  # of an upper byte: below it 14 bits or less are used
Image.MAX_IMAGE_PIXELS = None  # Pillow's warning and its fixed limit: every file is judged by `megapixels` here


class DecodedImage(NamedTuple):
    """An image file as stored, upright.

    Attributes:
        values: (H, W) bool, uint16, int32 or float32 for grey of 1, 16 or 32 bits, else (H, W, 3) uint8 or uint16.
        alpha: (H, W) uint8, from 0 (transparent) to 255; of no pixels, (0, 0), where the file has none.

    Example:
        >>> DecodedImage(np.zeros((8, 8, 3), "u1"), np.zeros((0, 0), "u1")).transparent
        False
    """

    values: NDArray[Any]
    alpha: NDArray[np.uint8]

    @property
    def transparent(self) -> bool:
        """Whether any pixel is less than opaque."""
        return bool(self.alpha.size and self.alpha.min() < 255)


def decode_image(path: Path, megapixels: float = MEGAPIXELS) -> DecodedImage:
    """Decode an image file, turned upright by its EXIF orientation; of several pages the first.

    Colours of 16 bits keep them all. A TIFF whose zero is white is turned over, so that larger is always brighter, and
    one of 12 bits is spread over 16.

    Args:
        path: of the file.
        megapixels: largest size, in millions of pixels; it is read in the header, before anything is decoded.

    Raises:
        FileRejected: for a file that is missing, empty, damaged, cut short, no image, or too large.
        OSError: when the disk or the rights to it fail.
    """
    if not path.is_file():
        raise FileRejected("the file does not exist", "restore it")
    if path.stat().st_size == 0:
        raise FileRejected("the file is empty (0 bytes)", "take the photograph again")
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata
        return _decode(file, megapixels)


def checked_megapixels(value: object) -> float:
    """The setting `max_megapixels` as a number.

    Raises:
        EndlineError: when it is none above 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        raise EndlineError(f"max_megapixels={value} must be a number above 0, in millions of pixels ({MEGAPIXELS:g}).")
    return float(value)


def stored_orientation(path: Path) -> tuple[int, tuple[int, int]]:
    """EXIF orientation of an image (1: as it is) and its stored size (height, width), by the header alone.

    Raises:
        FileRejected: when it has none that can be read.
        OSError: when the disk or the rights to it fail.
    """
    with opened(path) as image:
        return int(image.getexif().get(ORIENTATION, 1)), (image.height, image.width)


def file_facts(path: Path) -> dict[str, float]:
    """What an image's header says of the file, not of the picture.

    Returns:
        `colours`, 1 for a grey image and 3 for others; `quantisation`, the mean step of a JPEG file's first table as a
        measure of its compression, 0 for other formats.

    Raises:
        FileRejected: when it has no header that can be read.
        OSError: when the disk or the rights to it fail.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "part.jpg"
        >>> Image.new("L", (8, 8)).save(path, quality=50)  # the table of annex K of the standard itself
        >>> file_facts(path)
        {'colours': 1.0, 'quantisation': 57.625}
    """
    with opened(path) as image:
        grey, tables = image.mode.split(";")[0] in GREY, getattr(image, "quantization", None) or {}
    step = float(np.mean(tables[min(tables)])) if tables else 0.0
    return {"colours": 1.0 if grey else 3.0, "quantisation": step}


@contextmanager
def opened(path: Path) -> Iterator[Image.Image]:
    """An image of which the header alone has been read; errors as `file_facts`."""
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")
        try:
            with Image.open(file, formats=FORMATS) as image:
                yield image
        except Exception as error:  # Pillow's parsers raise almost anything on a damaged file
            if isinstance(error, OSError) and error.errno is not None:
                raise
            raise FileRejected(*DAMAGED) from error


def _decode(file: IO[bytes], megapixels: float) -> DecodedImage:
    try:
        with Image.open(file, formats=FORMATS) as image:
            pixels = image.width * image.height
            if pixels > megapixels * 1e6:
                raise FileRejected(
                    f"the image has {pixels / 1e6:.4g} megapixels, more than the limit of {megapixels:g}",
                    f"crop it, scale it down, or raise the limit (--params=max_megapixels={-(-pixels // 1_000_000)})",
                )
            exchanged, strips = _bytes_exchanged(image), raw_rows(image.tile)
            decoded = _upright(image)
        if exchanged is not None:
            with Image.open(file, formats=FORMATS) as image:
                image.tile = exchanged
                lower = _upright(image).values
            decoded = DecodedImage(decoded.values * np.uint16(256) + lower, decoded.alpha)
        if strips:
            file.seek(0)
            content = file.read()
            if any(has_unwritten_block(content, rows) for rows in strips):
                raise FileRejected(*UNWRITTEN)
        if (lacks_data := LACKING.get(image.format or "")) is not None:
            file.seek(0)
            if lacks_data(file.read(), decoded.values):
                raise FileRejected(*DAMAGED)
        return decoded
    except UnidentifiedImageError as error:
        raise _unknown(file) from error
    except (FileRejected, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on a damaged file
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileRejected(*DAMAGED) from error


def _unknown(file: IO[bytes]) -> FileRejected:
    """Tell a TIFF that Pillow does not know from what is no image at all."""
    file.seek(0)
    if file.read(4) in (b"II*\0", b"MM\0*"):
        return FileRejected(
            "a TIFF that is damaged, or has channels or bits that cannot be read",
            "export it as PNG, or as a TIFF with 1, 3 or 4 channels of 8 bits, or grey with 16 or 32",
        )
    return FileRejected("no image file that can be read", "export it as PNG, JPEG, TIFF, BMP, WebP or PGM")


def _upright(image: ImageFile.ImageFile) -> DecodedImage:
    """What a file that has been opened holds, in arrays that may be written to."""
    tags = dict(getattr(image, "tag_v2", {}))
    ImageOps.exif_transpose(image, in_place=True)
    no_alpha = np.zeros((0, 0), np.uint8)
    if image.mode in DEEP_MODES or image.mode.startswith("I;16"):
        values = np.array(image)
        return DecodedImage(_black_is_zero(values.astype(values.dtype.newbyteorder("=")), tags), no_alpha)
    alpha = np.array(image.convert("RGBA").getchannel("A")) if image.has_transparency_data else no_alpha
    return DecodedImage(np.array(image.convert("RGB")), alpha)


def _black_is_zero(grey: NDArray[Any], tags: dict[int, Any]) -> NDArray[Any]:
    """Grey of a TIFF as Pillow leaves it, on the full scale of its type and with black as 0."""
    if tags.get(BITS_PER_SAMPLE) == (12,):
        grey = (grey << 4) | (grey >> 8)
    if tags.get(PHOTOMETRIC) == 0 and grey.dtype != np.bool_:  # Pillow turns those of up to 8 bits by itself
        grey = (1 if grey.dtype == np.float32 else DEEPEST) - grey
    return grey


def _bytes_exchanged(image: ImageFile.ImageFile) -> list[ImageFile._Tile] | None:
    """Tiles that read the lower byte of each colour of 16 bits, where Pillow keeps the upper alone; None for others.

    Raises:
        FileRejected: for grey of 16 bits with transparency, of which Pillow cannot read the lower byte, where the upper
            ones say next to nothing.
    """
    exchanged = {}
    for tile in image.tile:
        name, *rest = (tile.args,) if isinstance(tile.args, str) else (tile.args or ("",))
        if name == "LA;16B" and int(np.asarray(image.convert("RGB")).max()) < DARKEST:
            raise FileRejected(
                "grey of 16 bits with transparency, which uses the lower bits alone", "export it without transparency"
            )
        colours, _, order = str(name).partition(";")
        if colours not in ("RGB", "RGBX", "RGBA") or order not in EXCHANGED:
            return None
        other = f"{colours};{EXCHANGED[order]}"
        exchanged[tile] = tile._replace(args=(other, *rest) if rest else other)
    return list(exchanged.values()) or None
