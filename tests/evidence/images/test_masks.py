"""Masks of any kind of image, resized without losing a defect; image files that cannot be decoded are told."""

import numpy as np
import pytest
from PIL import Image

from endline.errors import EndlineError
from endline.evidence.images.decoding import decode_image
from endline.evidence.images.masks import decode_mask, read_mask

HEIGHT, WIDTH = 12, 20


@pytest.fixture
def defect() -> np.ndarray:
    """A defect mask (12, 20) that no rotation or reflection leaves as it is."""
    mask = np.zeros((HEIGHT, WIDTH), bool)
    mask[2:5, 3:14] = True
    mask[5:9, 3] = True
    return mask


def saved(path, values, mode=None, **options):
    image = Image.fromarray(values)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


@pytest.mark.parametrize(
    ("name", "dtype", "value", "mode"),
    [
        ("grey.png", "u1", 255, None),
        ("labels.png", "u1", 1, None),
        ("sixteen.png", "u2", 65535, None),
        ("sixteen_labels.png", "u2", 3, None),
        ("eight_in_sixteen.tif", "u2", 255, None),
        ("deep.tif", "i4", 7, None),
        ("float.tif", "f4", 1.0, None),
        ("float_255.tif", "f4", 255.0, None),
        ("rgb.png", "u1", 255, "RGB"),
        ("rgba.png", "u1", 255, "RGBA"),
        ("grey_alpha.png", "u1", 255, "LA"),
        ("palette.png", "u1", 255, "P"),
        ("bit.png", "u1", 255, "1"),
        ("bit.tif", "u1", 255, "1"),
        ("grey.bmp", "u1", 255, None),
        ("grey.webp", "u1", 255, "RGB"),
    ],
)
def test_every_kind_of_mask_gives_the_same_defect(tmp_path, defect, name, dtype, value, mode):
    path = saved(
        tmp_path / name, (defect * value).astype(dtype), mode, **({"lossless": True} if "webp" in name else {})
    )
    found = read_mask(path, defect.shape)
    assert found.dtype == np.bool_
    np.testing.assert_array_equal(found, defect)


def test_each_label_is_a_defect(tmp_path, defect):
    labels = defect * np.arange(1, WIDTH + 1, dtype="u1")  # 4 to 14
    np.testing.assert_array_equal(decode_mask(saved(tmp_path / "labels.png", labels)), defect)


@pytest.mark.parametrize("values", [(1, 2, 3), (1, 255), (1, 2, 200), (60, 255), (1000, 65535)])
def test_every_number_of_a_mask_is_a_defect(tmp_path, values):
    numbers = np.zeros((60, 80), "u2" if max(values) > 255 else "u1")
    for place, value in enumerate(values):
        numbers[5 + 15 * place : 15 + 15 * place, 20:50] = value
    np.testing.assert_array_equal(decode_mask(saved(tmp_path / "numbers.png", numbers)), numbers > 0)


def test_a_numbered_scratch_of_one_pixel_is_a_defect(tmp_path):
    numbers = np.zeros((60, 80), "u1")
    numbers[np.arange(50), np.arange(50) + 10] = 1
    numbers[40:50, 5:15] = 255
    np.testing.assert_array_equal(decode_mask(saved(tmp_path / "numbers.png", numbers)), numbers > 0)


def test_two_hundred_instances_are_all_defects(tmp_path):
    numbers = np.kron(np.arange(1, 201).reshape(10, 20), np.ones((4, 4))).astype("u1")
    numbers[::4] = 0
    np.testing.assert_array_equal(decode_mask(saved(tmp_path / "numbers.png", numbers)), numbers > 0)


@pytest.mark.parametrize("mode", ["RGB", "P"])
def test_every_colour_of_a_mask_is_a_defect(tmp_path, mode):
    painted = np.zeros((40, 60, 3), "u1")
    painted[5:15, 5:25] = 64, 0, 0
    painted[20:35, 30:50] = 0, 192, 128
    image = Image.fromarray(painted)
    path = tmp_path / "colours.png"
    (image.quantize(3) if mode == "P" else image).save(path)
    np.testing.assert_array_equal(decode_mask(path), painted.any(axis=2))


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_traces_of_jpeg_are_no_numbers(tmp_path, quality):
    rows, columns = np.mgrid[:200, :300]
    disc = (rows - 100) ** 2 + (columns - 120) ** 2 < 60**2
    jpeg = saved(tmp_path / "mask.jpg", (disc * 255).astype("u1"), quality=quality)
    found = decode_mask(saved(tmp_path / "mask.png", np.array(Image.open(jpeg))))
    assert (found != disc).sum() < 0.01 * disc.sum()


def test_a_mask_that_is_transparent_throughout_counts_by_its_colours(tmp_path, defect):
    layer = np.zeros((*defect.shape, 4), "u1")
    layer[..., :3] = defect[..., None] * 255
    np.testing.assert_array_equal(decode_mask(saved(tmp_path / "useless.png", layer)), defect)


def turned_photograph(path, size, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    return saved(path, np.random.default_rng(0).integers(0, 256, (*size, 3), dtype="u1"), exif=exif)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("scale", [1, 2])
def test_a_mask_is_turned_as_its_photograph_is(tmp_path, defect, orientation, scale):
    photograph = turned_photograph(tmp_path / "a.jpg", (HEIGHT * scale, WIDTH * scale), orientation)
    stored = Image.fromarray((defect * 255).astype("u1"))
    method = {2: 0, 3: 3, 4: 1, 5: 5, 6: 4, 7: 6, 8: 2}.get(orientation)
    upright = np.array(stored if method is None else stored.transpose(Image.Transpose(method))) > 0
    path = saved(tmp_path / "mask.png", np.array(stored))
    np.testing.assert_array_equal(read_mask(path, upright.shape, photograph), upright)


@pytest.mark.parametrize("orientation", [6, 8])
def test_a_mask_that_fits_the_upright_photograph_is_not_turned(tmp_path, defect, orientation):
    photograph = turned_photograph(tmp_path / "a.jpg", (WIDTH, HEIGHT), orientation)
    path = saved(tmp_path / "mask.png", (defect * 255).astype("u1"))
    np.testing.assert_array_equal(read_mask(path, defect.shape, photograph), defect)


def test_a_mask_with_an_orientation_of_its_own_is_turned_once(tmp_path, defect):
    exif = Image.Exif()
    exif[0x112] = 6
    photograph = turned_photograph(tmp_path / "a.jpg", (HEIGHT, WIDTH), 6)
    path = saved(tmp_path / "mask.png", (defect * 255).astype("u1"), exif=exif)
    np.testing.assert_array_equal(read_mask(path, (WIDTH, HEIGHT), photograph), np.rot90(defect, -1))


def test_compressed_and_smoothed_masks_count_from_half_their_largest_value(tmp_path, defect):
    shades = np.where(defect, 176, 0).astype("u1")
    shades[0] = np.arange(69, 89)  # a rim that ends at exactly half
    shades[1] = np.arange(20) % 7  # traces of compression
    shades[2, 3] = 89
    np.testing.assert_array_equal(decode_mask(saved(tmp_path / "shades.png", shades)), defect)
    large = np.kron(defect, np.ones((5, 5))).astype(bool)  # its edges cross the blocks of JPEG
    jpeg = saved(tmp_path / "mask.jpg", (large * 255).astype("u1"), quality=60)
    assert (decode_image(jpeg).values[~large] > 0).any()
    np.testing.assert_array_equal(decode_mask(jpeg), large)


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 200, 0), (0, 0, 255)])
def test_a_coloured_mask_counts_by_its_brightest_channel(tmp_path, defect, colour):
    painted = (defect[..., None] * np.array(colour)).astype("u1")
    np.testing.assert_array_equal(decode_mask(saved(tmp_path / "red.png", painted)), defect)


def test_what_is_transparent_is_no_defect(tmp_path, defect):
    white = np.full((*defect.shape, 4), 255, "u1")
    white[..., 3] = defect * 255
    np.testing.assert_array_equal(decode_mask(saved(tmp_path / "layer.png", white)), defect)


def test_a_mask_without_a_defect_is_empty(tmp_path):
    assert not read_mask(saved(tmp_path / "none.png", np.zeros((9, 9), "u1")), (4, 30)).any()


def test_exif_turns_the_mask_like_its_image(tmp_path, defect):
    exif = Image.Exif()
    exif[0x112] = 6  # the camera was held upright: turn clockwise
    path = saved(tmp_path / "turned.png", (defect * 255).astype("u1"), exif=exif)
    np.testing.assert_array_equal(read_mask(path, (WIDTH, HEIGHT)), np.rot90(defect, -1))


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (5, 7), (11, 19), (12, 1), (40, 3), (7, 50)])
def test_no_defect_pixel_is_lost_where_the_mask_shrinks(tmp_path, size):
    for row, column in [(0, 0), (HEIGHT - 1, WIDTH - 1), (4, 7), (5, 13)]:
        one = np.zeros((HEIGHT, WIDTH), "u1")
        one[row, column] = 255
        found = read_mask(saved(tmp_path / "one.png", one), size)
        assert found.shape == size
        assert found.any()
        if size[0] <= HEIGHT and size[1] <= WIDTH:  # each pixel lies in one cell, that of its centre
            expected = (int((row + 0.5) * size[0] / HEIGHT), int((column + 0.5) * size[1] / WIDTH))
            assert np.argwhere(found).tolist() == [list(expected)]


def test_a_shrunken_pixel_is_a_defect_where_one_of_its_own_pixels_is(tmp_path):
    mask = np.random.default_rng(0).random((12, 20)) < 0.1
    path = saved(tmp_path / "random.png", (mask * 255).astype("u1"))
    np.testing.assert_array_equal(read_mask(path, (4, 10)), mask.reshape(4, 3, 10, 2).any(axis=(1, 3)))


def test_a_growing_mask_repeats_its_pixels(tmp_path, defect):
    path = saved(tmp_path / "small.png", (defect * 255).astype("u1"))
    np.testing.assert_array_equal(
        read_mask(path, (3 * HEIGHT, 2 * WIDTH)), np.kron(defect, np.ones((3, 2))).astype(bool)
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (None, "the file does not exist: restore it."),
        (b"", "the file is empty (0 bytes): take the photograph again."),
        (b"a letter", "no image file that can be read: export it as PNG, JPEG, TIFF, BMP, WebP or PGM."),
        (
            b"\x89PNG\r\n\x1a\n",
            "no image file that can be read: export it as PNG, JPEG, TIFF, BMP, WebP or PGM.",
        ),
    ],
)
def test_a_mask_that_cannot_be_read_is_told(tmp_path, content, told):
    path = tmp_path / "000_mask.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(EndlineError) as caught:
        read_mask(path, (8, 8))
    assert str(caught.value) == f"The mask {path} cannot be read: {told}"


def test_rights_that_are_missing_are_told(tmp_path, defect, monkeypatch):
    path = saved(tmp_path / "000_mask.png", (defect * 255).astype("u1"))

    def denied(self, *arguments):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", denied)
    with pytest.raises(EndlineError) as caught:
        read_mask(path, (8, 8))
    assert str(caught.value) == (f"The mask {path} cannot be read: Permission denied: check its rights and the disk.")
