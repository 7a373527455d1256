"""Image files decoded safely, and the defect masks among them."""

import warnings
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from endline.errors import EndlineError, FileRejected

MAX_PIXELS = 100_000_000
FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "PPM")  # named, for among Pillow's others are some that run programs
SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp", ".pbm", ".pgm", ".ppm", ".pfm"})
DEEP_MODES = ("1", "I", "F")  # and I;16...: Pillow's modes of one channel that 8 bits would not hold as they are
RANGES = {"uint8": 255, "uint16": 65535, "int32": 65535, "float32": 1}


def decode_image(path: Path) -> NDArray[Any]:
    """Values of an image file as stored, turned upright by its EXIF orientation; of several pages the first.

    Returns:
        (height, width) bool, uint16, int32 or float32 for grey of 1, 16 or 32 bits, else (height, width, 3) uint8.
        What is transparent lies on black, for no light comes from there.

    Raises:
        FileRejected: for a file that is missing, empty, damaged, no image, or larger than `MAX_PIXELS` by its header,
            which is read before anything is decoded.
        OSError: when the disk or the rights to it fail.
    """
    if not path.is_file():
        raise FileRejected("the file does not exist", "restore it")
    if path.stat().st_size == 0:
        raise FileRejected("the file is empty (0 bytes)", "take the photograph again")
    with warnings.catch_warnings(), path.open("rb") as file:
        warnings.simplefilter("ignore")  # Pillow warns of odd metadata, and of sizes that are judged here
        return _decode(file)


def decode_mask(path: Path) -> NDArray[np.bool_]:
    """Where a mask image (grey, colour, 1 to 32 bits) marks a defect, (height, width), in its own size.

    A mask whose largest value lies in the lower half of what its format can hold is taken for numbered labels: all
    above 0 are defects. Any other holds shades, smoothed or compressed as those of MTD are, whose faint rims are no
    defect: what is above half its largest value counts. The brightest of three channels is taken.

    Raises:
        FileRejected, OSError: as `decode_image`.
    """
    values = decode_image(path)
    if values.dtype == np.bool_:
        return values
    if values.ndim == 3:
        values = values.max(axis=2)
    largest = values.max()
    return values > (largest / 2 if largest > RANGES[values.dtype.name] / 2 else 0)


def read_mask(path: Path, size: tuple[int, int]) -> NDArray[np.bool_]:
    """Defect mask of an image, resized to `size` (height, width).

    Along a side that shrinks, a pixel is a defect where any of the pixels it covers is (maximum pooling over cells
    that do not overlap), so that the smallest defect stays; along a side that grows, the nearest pixel is taken.

    Raises:
        EndlineError: when it cannot be read.
    """
    try:
        mask = decode_mask(path)
    except (FileRejected, OSError) as problem:
        raise EndlineError(f"The mask {path} cannot be read: {_sentence(problem)}") from problem
    for axis, length in enumerate(size):
        mask = _resized(mask, length, axis)
    return mask


def _decode(file: IO[bytes]) -> NDArray[Any]:
    try:
        with Image.open(file, formats=FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise Image.DecompressionBombError
            ImageOps.exif_transpose(image, in_place=True)
            return _values(image)
    except Image.DecompressionBombError as error:  # raised by Pillow itself from 179 million pixels on
        raise FileRejected(
            f"the image has more than {MAX_PIXELS // 1_000_000} million pixels", "crop it or scale it down"
        ) from error
    except UnidentifiedImageError as error:
        raise _unknown(file) from error
    except MemoryError:
        raise
    except Exception as error:  # Pillow's decoders raise almost anything on a damaged file
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise FileRejected(
            "the image is damaged or cut short and cannot be decoded", "copy it again from its source"
        ) from error


def _unknown(file: IO[bytes]) -> FileRejected:
    """Tell a TIFF that Pillow does not know from what is no image at all."""
    file.seek(0)
    if file.read(4) in (b"II*\0", b"MM\0*"):
        return FileRejected(
            "a TIFF that is damaged, or has channels or bits that cannot be read",
            "export it as PNG, or as a TIFF with 1, 3 or 4 channels of 8 bits, or grey with 16 or 32",
        )
    return FileRejected("no image file that can be read", "export it as PNG, JPEG, TIFF, BMP, WebP or PGM")


def _values(image: Image.Image) -> NDArray[Any]:
    """Values of a decoded image as `decode_image` returns them, in an array that may be written to."""
    if image.mode in DEEP_MODES or image.mode.startswith("I;16"):
        values = np.array(image)
        return values.astype(values.dtype.newbyteorder("="))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        image = Image.new("RGB", image.size)
        image.paste(colours, mask=colours.getchannel("A"))
    return np.array(image.convert("RGB"))


def _resized(mask: NDArray[np.bool_], length: int, axis: int) -> NDArray[np.bool_]:
    """Resize one axis of a mask; pixel i of `length` covers the pixels whose centres lie in its share of the side."""
    full = mask.shape[axis]
    steps = np.arange(length)
    if length < full:
        starts = -((length - 2 * steps * full) // (2 * length))  # the first centre, (start + 1/2) / full >= i / length
        resized: NDArray[np.bool_] = np.logical_or.reduceat(mask, starts, axis=axis)
    else:
        resized = np.take(mask, (2 * steps + 1) * full // (2 * length), axis=axis)
    return resized


def _sentence(problem: FileRejected | OSError) -> str:
    return str(problem) if isinstance(problem, FileRejected) else f"{problem.strerror}: check its rights and the disk."
