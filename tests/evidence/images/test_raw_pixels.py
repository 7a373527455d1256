"""Blocks of zeros that a disk has left within an uncompressed picture, and black that it shows."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from endline.errors import FileRejected
from endline.evidence.images.decoding import decode_image

NOISY = np.random.default_rng(1).integers(60, 200, (320, 480, 3)).astype("u1")


def saved(path: Path, image: np.ndarray, **options) -> Path:
    Image.fromarray(image).save(path, **options)
    return path


RAW = [("a.bmp", {}), ("a.tif", {}), ("a.tif", {"tiffinfo": {278: 16}}), ("a.ppm", {})]  # 278: rows of a strip


@pytest.mark.parametrize(("name", "options"), RAW)
@pytest.mark.parametrize("image", [NOISY, NOISY[..., 0], NOISY[:, :461]], ids=["colour", "grey", "padded"])
@pytest.mark.parametrize("size", [4096, 65_536])
def test_sectors_of_zeros_within_raw_pixels_are_refused(tmp_path, name, options, image, size):
    if name == "a.ppm" and image.ndim == 2:
        name = "a.pgm"
    path = saved(tmp_path / name, image, **options)
    content = path.read_bytes()
    decode_image(path)
    for start in (4096 * 6, 4096 * 9):
        path.write_bytes(content[:start] + bytes(size) + content[start + size :])
        with pytest.raises(FileRejected) as caught:
            decode_image(path)
        assert str(caught.value) == (
            "a block of zeros lies within its pixels, a part of the file was never written: copy it again from its "
            "source."
        )


@pytest.mark.parametrize(("name", "options"), RAW)
@pytest.mark.parametrize(
    "black",
    [
        np.s_[:40], np.s_[-40:], np.s_[:, :100], np.s_[100:150], np.s_[100:200, 30:300], np.s_[100:101, 30:300],
        np.s_[:], np.s_[::2], np.s_[:, ::2],
    ],
    ids=str,
)  # fmt: skip
def test_honest_black_in_raw_pixels_is_read(tmp_path, name, options, black):
    picture = NOISY.copy()
    picture[black] = 0
    np.testing.assert_array_equal(decode_image(saved(tmp_path / name, picture, **options)).values, picture)


@pytest.mark.parametrize("slope", [0.0, 0.003, 0.2])
@pytest.mark.parametrize("grey", [False, True])
def test_a_part_before_a_black_background_is_read_wherever_it_lies(tmp_path, slope, grey):
    """Its edges may be crisp, and its last pixel may lie at the end of a sector."""
    rows, columns = np.mgrid[:320, :512]
    for first in range(0, 64, 9):
        line = first + slope * columns
        shown = (rows < line + 40) | (rows > line + 120)
        picture = np.where(shown[..., None], NOISY[:, :1].repeat(512, 1), 0).astype("u1")
        decode_image(saved(tmp_path / "a.bmp", picture[..., 0] if grey else picture))
        decode_image(saved(tmp_path / "a.tif", picture[..., 0] if grey else picture))
