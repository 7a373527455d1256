"""Reading photographs of every kind on a fixed scale, refusing what cannot be used, and resizing."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from endline.errors import EndlineError, FileRejected
from endline.evidence.images.decoding import checked_megapixels, decode_image
from endline.evidence.images.photographs import depth_of, eight_bits, image_tensor, read_image, read_photograph

RGB = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype="u1")
GREY = RGB[..., 0]


def saved(path: Path, image: np.ndarray | Image.Image, **options) -> Path:
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(path, **options)
    return path


def rejection(path: Path) -> tuple[str, str]:
    with pytest.raises(FileRejected) as caught:
        read_image(path)
    return caught.value.reason, caught.value.remedy


def png(path: Path, width: int, height: int, rows: int | None = None) -> Path:
    """A PNG of one bit, written row by row, for its size decoded would fill the memory."""
    packer = zlib.compressobj(1)
    row = bytes(1 + (width + 7) // 8)
    data = b"".join(packer.compress(row) for _ in range(height if rows is None else rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in ((b"IHDR", header), (b"IDAT", data), (b"IEND", b"")):
            file.write(struct.pack(">I", len(content)) + kind + content)
            file.write(struct.pack(">I", zlib.crc32(kind + content)))
    return path


def tiff(path: Path, bits: int, channels: int, sample_format: int = 1, size: int = 16) -> Path:
    """An uncompressed little-endian TIFF of zeros, with as many channels as wanted."""
    data = bytes(size * size * channels * bits // 8)
    tags = [(256, size), (257, size), (258, bits), (259, 1), (262, 1), (273, 8), (277, channels), (278, size)]
    tags += [(279, len(data)), (339, sample_format)]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    path.write_bytes(b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory)
    return path


def test_grey_and_colour_are_read_as_they_are(tmp_path):
    grey = read_image(saved(tmp_path / "grey.png", GREY))
    np.testing.assert_array_equal(grey, np.repeat(GREY[..., None], 3, axis=2))
    colour = read_image(saved(tmp_path / "colour.png", RGB))
    np.testing.assert_array_equal(colour, RGB)
    for image in (grey, colour):
        assert image.dtype == np.uint8
        assert image.flags.writeable  # torch warns of others


@pytest.mark.parametrize("alpha", [0, 51, 255, "some"])
def test_transparency_is_ignored(tmp_path, alpha):
    channel = np.where(np.arange(30) < 10, 0, 255) * np.ones((20, 1)) if alpha == "some" else np.full((20, 30), alpha)
    channel = channel.astype("u1")
    path = saved(tmp_path / "alpha.png", np.dstack([RGB, channel]))
    np.testing.assert_array_equal(read_image(path), RGB)
    assert read_photograph(path).transparent == (alpha != 255)
    grey = read_image(saved(tmp_path / "grey_alpha.png", Image.fromarray(np.dstack([GREY, channel]), "LA")))
    np.testing.assert_array_equal(grey[..., 1], GREY)


def test_palettes(tmp_path):
    colours = Image.fromarray(RGB).quantize(16)
    for options in ({}, {"transparency": 0}):
        path = saved(tmp_path / "a.png", colours, **options)
        np.testing.assert_array_equal(read_image(path), np.array(colours.convert("RGB")))
        assert read_photograph(path).transparent == bool(options)


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "a.jpg"), ("CMYK", "a.tif"), ("YCbCr", "a.tif")])
def test_other_colour_spaces(tmp_path, mode, name):
    flat = np.full((16, 16, 3), (200, 100, 50), "u1")
    image = read_image(saved(tmp_path / name, Image.fromarray(flat).convert(mode)))
    np.testing.assert_allclose(image, flat, atol=3)


def test_one_bit(tmp_path):
    image = read_image(saved(tmp_path / "bit.png", Image.fromarray(GREY > 127)))
    np.testing.assert_array_equal(image[..., 2], np.where(GREY > 127, 255, 0))


@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.pgm"])
def test_16_bits_are_scaled_from_65535(tmp_path, name):
    deep = np.random.default_rng(1).integers(0, 65536, (20, 30), dtype="u2")
    deep[0, :3] = 0, 65535, 32768
    image = read_image(saved(tmp_path / name, deep))
    np.testing.assert_array_equal(image[..., 0], np.rint(deep / 65535 * 255))


def test_big_endian_16_bits(tmp_path):
    deep = (np.arange(600).reshape(20, 30) * 100).astype(">u2")
    path = tmp_path / "big.pgm"
    path.write_bytes(b"P5 30 20 65535\n" + deep.tobytes())
    np.testing.assert_array_equal(read_image(path)[..., 0], np.rint(deep / 65535 * 255))


def test_32_bits_share_the_scale_of_16_and_floats_go_from_0_to_1(tmp_path):
    deep = np.random.default_rng(1).integers(0, 65536, (20, 30))
    integers = read_image(saved(tmp_path / "a.tif", deep.astype("i4")))
    floats = read_image(saved(tmp_path / "b.tif", (deep / 65535).astype("f4")))
    np.testing.assert_array_equal(integers[..., 0], np.rint(deep / 65535 * 255))
    np.testing.assert_array_equal(floats, integers)


def png16(path: Path, values: np.ndarray, colour_type: int) -> Path:
    """A PNG of 16 bits a channel, which Pillow itself does not write in colour."""
    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    with path.open("wb") as file:
        file.write(b"\x89PNG\r\n\x1a\n")
        for kind, content in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b"")):
            file.write(struct.pack(">I", len(content)) + kind + content)
            file.write(struct.pack(">I", zlib.crc32(kind + content)))
    return path


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_fewer_bits_in_a_file_of_16_are_read_on_their_own_scale(tmp_path, bits):
    deep = np.random.default_rng(1).integers(0, 2**bits, (20, 30, 4)).astype("u2")
    deep[0, 0] = 2**bits - 1
    expected = np.rint(deep / (2**bits - 1) * 255).astype("u1")
    grey = saved(tmp_path / "grey.png", deep[..., 0])
    np.testing.assert_array_equal(read_image(grey, bits)[..., 2], expected[..., 0])
    assert read_photograph(grey).peak == 2**bits - 1
    for colour_type, channels in ((2, 3), (6, 4)):
        colour = png16(tmp_path / f"{channels}.png", deep[..., :channels], colour_type)
        np.testing.assert_array_equal(read_image(colour, bits), expected[..., :3])


def test_colours_of_16_bits_in_a_tiff_keep_them_all(tmp_path):
    deep = np.random.default_rng(1).integers(0, 4096, (16, 16, 3)).astype("<u2")
    for name, byte_order, kept in (("a.tif", "<", deep), ("b.tif", ">", deep.astype(">u2"))):
        path = written_tiff(tmp_path / name, kept.tobytes(), {258: 16, 262: 2, 277: 3}, byte_order)
        np.testing.assert_array_equal(decode_image(path).values, deep)


def test_grey_with_transparency_in_the_lower_of_16_bits_is_refused(tmp_path):
    dark = np.full((20, 30, 2), 4095)
    assert rejection(png16(tmp_path / "a.png", dark, 4)) == (
        "grey of 16 bits with transparency, which uses the lower bits alone",
        "export it without transparency",
    )
    full = np.full((20, 30, 2), 40_000)
    assert (read_image(png16(tmp_path / "b.png", full, 4)) == 40_000 >> 8).all()


def test_a_darker_photograph_stays_darker_and_what_is_above_the_scale_is_white():
    values = np.array([[0, 1000, 2000, 4095, 5000]], np.uint16)
    assert eight_bits(values, 12)[0, :, 0].tolist() == [0, 62, 125, 255, 255]
    assert [depth_of(peak) for peak in (255, 256, 4095, 4096, 65535)] == [8, 10, 12, 14, 16]


def written_tiff(path: Path, data: bytes, tags: dict[int, int], byte_order: str = "<", size: int = 16) -> Path:
    """An uncompressed TIFF of a few channels, whose tags are added to those that each has."""
    channels = tags.get(277, 1)
    offset = 8 + 6  # of the bits of several channels
    bits = offset - 6 if channels == 3 else tags[258]
    every = {256: (4, 1, size), 257: (4, 1, size), 258: (3, channels, bits), 259: (3, 1, 1), 262: (3, 1, tags[262])}
    every |= {273: (4, 1, offset), 277: (3, 1, channels), 278: (4, 1, size), 279: (4, 1, len(data))}
    every |= {339: (3, 1, tags[339])} if 339 in tags else {}
    entries = b""
    for tag, (kind, number, value) in sorted(every.items()):
        short = kind == 3 and number == 1
        content = struct.pack(f"{byte_order}HH", value, 0) if short else struct.pack(f"{byte_order}I", value)
        entries += struct.pack(f"{byte_order}HHI", tag, kind, number) + content
    directory = struct.pack(f"{byte_order}H", len(every)) + entries + bytes(4)
    head = (b"II*\0" if byte_order == "<" else b"MM\0*") + struct.pack(f"{byte_order}I", offset + len(data))
    path.write_bytes(head + struct.pack(f"{byte_order}3H", *[tags[258]] * 3) + data + directory)
    return path


@pytest.mark.parametrize(
    ("dtype", "tags", "white"),
    [("<u2", {258: 16}, 65535), ("u1", {258: 8}, 255), ("<f4", {258: 32, 339: 3}, 1)],
)
def test_a_tiff_whose_zero_is_white_is_turned_over(tmp_path, dtype, tags, white):
    values = np.linspace(0, white, 256).reshape(16, 16).astype(dtype)
    plain = read_image(written_tiff(tmp_path / "a.tif", values.tobytes(), {**tags, 262: 1}))
    turned = read_image(written_tiff(tmp_path / "b.tif", values.tobytes(), {**tags, 262: 0}))
    np.testing.assert_array_equal(plain[..., 0], np.arange(256).reshape(16, 16))
    np.testing.assert_array_equal(turned, 255 - plain)


def test_a_tiff_of_12_bits_is_spread_over_its_own_scale(tmp_path):
    values = np.linspace(0, 4095, 256).round().astype(int)
    packed = b"".join(bytes((a >> 4, (a & 15) << 4 | b >> 8, b & 255)) for a, b in values.reshape(-1, 2).tolist())
    image = read_image(written_tiff(tmp_path / "a.tif", packed, {258: 12, 262: 1}))
    np.testing.assert_array_equal(image[..., 0].ravel(), np.rint(values / 4095 * 255))


@pytest.mark.parametrize("dtype", ["u2", "i4", "f4"])
def test_a_pixel_does_not_change_with_the_others(tmp_path, dtype):
    one = 1.0 if dtype == "f4" else 65535
    dark = np.full((20, 30), one / 100).astype(dtype)
    spotted = dark.copy()
    spotted[3, 4] = one
    first, second = (read_image(saved(tmp_path / f"{n}.tif", image)) for n, image in enumerate((dark, spotted)))
    assert np.argwhere((first != second).any(axis=2)).tolist() == [[3, 4]]


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tif", "a.webp"])
@pytest.mark.parametrize(
    ("orientation", "turn"),
    [(1, lambda x: x), (3, lambda x: np.rot90(x, 2)), (6, lambda x: np.rot90(x, -1)), (8, np.rot90), (2, np.fliplr)],
)
def test_exif_orientation_is_applied(tmp_path, name, orientation, turn):
    quadrants = np.kron([[0, 90], [180, 250]], np.ones((16, 24))).astype("u1")
    exif = Image.Exif()
    exif[0x112] = orientation
    image = read_image(saved(tmp_path / name, quadrants, exif=exif))
    np.testing.assert_allclose(image[..., 0], turn(quadrants), atol=8)


def test_exif_orientation_of_16_bits(tmp_path):
    deep = (np.arange(600).reshape(20, 30) * 100).astype("u2")
    exif = Image.Exif()
    exif[0x112] = 6
    image = read_image(saved(tmp_path / "a.png", deep, exif=exif))
    np.testing.assert_array_equal(image[..., 0], np.rot90(np.rint(deep / 65535 * 255), -1))


def test_the_ending_does_not_matter(tmp_path):
    path = saved(tmp_path / "a.png", RGB)
    np.testing.assert_array_equal(read_image(path.rename(tmp_path / "a.jpg")), RGB)


def test_damaged_metadata_does_no_harm_and_warns_of_nothing(tmp_path):
    path = saved(tmp_path / "a.jpg", RGB, exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0")
    assert read_image(path).shape == (20, 30, 3)


def test_a_missing_file(tmp_path):
    assert rejection(tmp_path / "a.png") == ("the file does not exist", "restore it")


def test_zero_bytes(tmp_path):
    (tmp_path / "a.png").touch()
    assert rejection(tmp_path / "a.png") == ("the file is empty (0 bytes)", "take the photograph again")


@pytest.mark.parametrize(
    "content",
    [b"this is a letter\n" * 50, b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n", b"\0"],
)
def test_text_named_png(tmp_path, content):
    (tmp_path / "a.png").write_bytes(content)
    assert rejection(tmp_path / "a.png") == (
        "no image file that can be read",
        "export it as PNG, JPEG, TIFF, BMP, WebP or PGM",
    )


DAMAGED = ("the image is damaged or cut short and cannot be decoded", "copy it again from its source")


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.tif", "a.bmp", "a.webp", "a.ppm"])
def test_truncated(tmp_path, name):
    path = saved(tmp_path / name, np.kron(RGB, np.ones((4, 4, 1))).astype("u1"))
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    assert rejection(path) == DAMAGED


SMOOTH = np.add.outer(np.arange(160), np.arange(240)).astype("u1")
JPEGS = [{}, {"progressive": True}, {"optimize": True}, {"restart_marker_blocks": 7}, {"restart_marker_rows": 1}]


@pytest.mark.parametrize("options", JPEGS, ids=str)
@pytest.mark.parametrize("lost", ["the end, but for its marker", "the end, written as zeros", "the middle"])
def test_a_jpeg_of_which_a_part_was_never_written_is_refused(tmp_path, options, lost):
    content = saved(tmp_path / "a.jpg", np.dstack([SMOOTH, SMOOTH.T.reshape(160, 240), SMOOTH]), **options).read_bytes()
    begin = content.index(b"\xff\xda")
    half, third = begin + (len(content) - begin) // 2, (len(content) - begin) // 3
    broken = {
        "the end, but for its marker": content[:half] + b"\xff\xd9",
        "the end, written as zeros": content[:half] + bytes(len(content) - half),
        "the middle": content[: begin + third] + bytes(third) + content[begin + 2 * third :],
    }[lost]
    (tmp_path / "a.jpg").write_bytes(broken)
    assert rejection(tmp_path / "a.jpg") == DAMAGED


NOISY = np.random.default_rng(1).integers(60, 200, (320, 480, 3)).astype("u1")


@pytest.mark.parametrize("options", [*JPEGS, {"progressive": True, "restart_marker_rows": 4}], ids=str)
@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.7, 0.9])
def test_a_jpeg_with_a_sector_of_zeros_is_refused(tmp_path, options, share):
    content = saved(tmp_path / "a.jpg", NOISY, quality=90, **options).read_bytes()
    begin = content.index(b"\xff\xda")
    start = begin + round(share * (len(content) - begin))
    (tmp_path / "a.jpg").write_bytes(content[:start] + bytes(4096) + content[start + 4096 :])
    assert rejection(tmp_path / "a.jpg") == DAMAGED


@pytest.mark.parametrize("options", JPEGS, ids=str)
@pytest.mark.parametrize("shade", [0, 128, 255])
def test_a_background_of_one_shade_is_no_sector_of_zeros(tmp_path, options, shade):
    """Its blocks are all the same, and may be coded as zeros."""
    picture = np.full((1024, 1024, 3), shade, "u1")
    picture[300:460, 200:440] = NOISY[:160, :240]
    assert read_image(saved(tmp_path / "a.jpg", picture, **options)).shape == picture.shape
    assert read_image(saved(tmp_path / "a.jpg", picture[:460], **options)).shape == (460, 1024, 3)


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("shade", [0, 7, 200, 255])
@pytest.mark.parametrize(("colour_type", "bits", "channels"), [(0, 1, 1), (0, 8, 1), (2, 8, 3), (6, 8, 4), (2, 16, 3)])
def test_a_png_without_its_last_rows_is_refused(tmp_path, interlaced, shade, colour_type, bits, channels):
    """Its stream and all checksums are sound; the rest of the picture would be black."""
    size, path = 33, tmp_path / "a.png"
    passes = [(5, 5), (4, 5), (9, 4), (8, 9), (17, 8), (16, 17), (33, 16)] if interlaced else [(size, size)]
    lengths = [(rows, 1 + -(-columns * bits * channels // 8)) for columns, rows in passes]
    rows = [bytes([0]) + bytes([shade]) * (length - 1) for number, length in lengths for _ in range(number)]
    for kept, whole in ((len(rows), True), (len(rows) // 2, False), (len(rows) - 1, False)):
        header = struct.pack(">IIBBBBB", size, size, bits, colour_type, 0, 0, interlaced)
        content = b"\x89PNG\r\n\x1a\n"
        for kind, each in ((b"IHDR", header), (b"IDAT", zlib.compress(b"".join(rows[:kept]))), (b"IEND", b"")):
            content += struct.pack(">I", len(each)) + kind + each + struct.pack(">I", zlib.crc32(kind + each))
        path.write_bytes(content)
        if whole:
            assert read_image(path).shape == (size, size, 3)
        else:
            assert rejection(path) == DAMAGED


@pytest.mark.parametrize("options", JPEGS, ids=str)
@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
@pytest.mark.parametrize("shade", [0, 128, 255, None])
def test_a_sound_jpeg_is_read_whatever_it_shows(tmp_path, options, mode, shade):
    picture = SMOOTH if shade is None else np.full((160, 240), shade, "u1")
    path = saved(tmp_path / "a.jpg", Image.fromarray(picture).convert(mode), **options)
    np.testing.assert_array_equal(read_image(path), np.array(Image.open(path).convert("RGB")))
    path.write_bytes(path.read_bytes() + b"\0" * 500)  # a camera's padding
    assert read_image(path).shape == (160, 240, 3)


def test_corrupt(tmp_path):
    path = saved(tmp_path / "a.png", RGB)
    content = bytearray(path.read_bytes())
    content[100:160] = bytes(60)
    path.write_bytes(content)
    assert rejection(path) == DAMAGED


def test_no_damage_escapes_in_any_other_shape(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("a.png", "a.jpg", "a.tif", "a.webp", "a.bmp"):
        content = saved(tmp_path / name, RGB).read_bytes()
        for _ in range(60):
            broken = bytearray(content)
            for place in rng.integers(4, min(len(content), 400), 6):
                broken[place] = rng.integers(256)
            (tmp_path / name).write_bytes(broken)
            try:
                image = read_image(tmp_path / name)
            except FileRejected:
                continue
            assert image.dtype == np.uint8


def test_memory_that_is_lacking_is_no_fault_of_the_file(tmp_path, monkeypatch):
    def short(self):
        raise MemoryError

    path = saved(tmp_path / "a.png", RGB)
    monkeypatch.setattr(ImageFile.ImageFile, "load", short)
    with pytest.raises(MemoryError):
        read_image(path)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 100), (100, 7)])
def test_too_few_pixels(tmp_path, width, height):
    path = saved(tmp_path / "a.png", np.zeros((height, width), "u1"))
    assert rejection(path) == (
        f"{width} x {height} pixels are too few, at least 8 x 8 are needed",
        "take the photograph at a higher resolution",
    )


def test_8_by_8_pixels_are_enough(tmp_path):
    assert read_image(saved(tmp_path / "a.png", np.zeros((8, 8), "u1"))).shape == (8, 8, 3)


@pytest.mark.parametrize(("width", "height"), [(20_000, 20_000), (10_001, 10_000), (200_000_000, 1)])
def test_too_many_pixels_are_refused_by_the_header(tmp_path, monkeypatch, width, height):
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: decoded.append(self))
    path = png(tmp_path / "a.png", width, height, rows=1)
    reason, remedy = rejection(path)
    assert reason == f"the image has {width * height / 1e6:.4g} megapixels, more than the limit of 100"
    limit = {20_000: 400, 10_001: 101, 200_000_000: 200}[width]
    assert remedy == f"crop it, scale it down, or raise the limit (--params=max_megapixels={limit})"
    assert decoded == []


def test_a_raised_limit_reaches_beyond_that_of_pillow(tmp_path):
    path = png(tmp_path / "a.png", 20_000, 9_000)  # 180 million pixels: Pillow alone refuses 179
    assert rejection(path)[1].endswith("(--params=max_megapixels=180)")
    with pytest.raises(FileRejected, match="more than the limit of 179"):
        decode_image(path, 179)
    assert decode_image(path, 180).values.shape == (9_000, 20_000)


@pytest.mark.parametrize("value", [0, -1, "much", True, float("nan")])
def test_a_limit_that_is_none_is_a_sentence(value):
    with pytest.raises(EndlineError, match="must be a number above 0, in millions of pixels"):
        checked_megapixels(value)
    assert checked_megapixels(150) == 150


def test_up_to_the_limit_pillow_neither_warns_nor_refuses(tmp_path):
    assert decode_image(png(tmp_path / "a.png", 10_000, 10_000)).values.shape == (10_000, 10_000)


@pytest.mark.skipif(sys.platform != "linux", reason="reads the peak memory as Linux counts it")
def test_400_million_pixels_take_no_memory(tmp_path):
    program = """
import resource, sys
from pathlib import Path
from endline.errors import EndlineError, FileRejected
from endline.evidence.images.decoding import decode_image
decode_image(Path(sys.argv[1]))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    decode_image(Path(sys.argv[2]))
except FileRejected as problem:
    print(problem.reason)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    small, large = saved(tmp_path / "small.png", RGB), png(tmp_path / "large.png", 20_000, 20_000)
    done = subprocess.run([sys.executable, "-c", program, small, large], capture_output=True, text=True, check=True)
    reason, kilobytes = done.stdout.splitlines()
    assert reason == "the image has 400 megapixels, more than the limit of 100"
    assert int(kilobytes) < 20_000  # decoded it has 400,000


@pytest.mark.parametrize(
    ("bits", "channels", "sample_format"),
    [(8, 5, 1), (8, 2, 1), (32, 3, 3), (64, 1, 3)],
)
def test_a_tiff_of_channels_or_bits_that_cannot_be_read(tmp_path, bits, channels, sample_format):
    assert rejection(tiff(tmp_path / "a.tif", bits, channels, sample_format)) == (
        "a TIFF that is damaged, or has channels or bits that cannot be read",
        "export it as PNG, or as a TIFF with 1, 3 or 4 channels of 8 bits, or grey with 16 or 32",
    )


def test_the_tiff_of_these_tests_is_sound_with_one_channel(tmp_path):
    assert read_image(tiff(tmp_path / "a.tif", 8, 1)).shape == (16, 16, 3)
    assert read_image(tiff(tmp_path / "b.tif", 32, 1, 3)).shape == (16, 16, 3)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_floats_that_are_not_finite(tmp_path, value):
    floats = np.full((16, 16), 0.5, "f4")
    floats[3, 4:6] = value
    assert rejection(saved(tmp_path / "a.tif", floats)) == (
        "2 pixels are NaN or infinite",
        "export it again from its source",
    )


@pytest.mark.parametrize(
    ("dtype", "values", "reason"),
    [
        ("f4", (0, 255), "its values go from 0 to 255, beyond the scale of 0 to 1"),
        ("f4", (-0.5, 1), "its values go from -0.5 to 1, beyond the scale of 0 to 1"),
        ("i4", (0, 65536), "its values go from 0 to 65536, beyond the scale of 0 to 65535"),
        ("i4", (-3, 100), "its values go from -3 to 100, beyond the scale of 0 to 65535"),
    ],
)
def test_values_beyond_the_scale(tmp_path, dtype, values, reason):
    image = np.full((16, 16), values[0], dtype)
    image[5] = values[1]
    assert rejection(saved(tmp_path / "a.tif", image)) == (reason, "export it as PNG of 8 or 16 bits")


def test_a_tensor_of_the_same_size_holds_the_same_values():
    tensor = image_tensor(RGB, (20, 30))
    assert tensor.shape == (3, 20, 30)
    assert tensor.dtype == torch.float32
    np.testing.assert_array_equal(tensor.permute(1, 2, 0).numpy(), RGB.astype("f4") / np.float32(255))


def test_resizing_keeps_every_border_and_the_mean():
    ramp = np.repeat(np.linspace(0, 255, 64).round().astype("u1")[None, :, None], 40, axis=0).repeat(3, axis=2)
    tensor = image_tensor(ramp, (24, 48))
    assert tensor.shape == (3, 24, 48)
    assert float(tensor.mean()) == pytest.approx(0.5, abs=2e-3)
    assert float(tensor[0, :, 0].max()) < 0.02  # nothing is cropped
    assert float(tensor[0, :, -1].min()) > 0.98


def test_a_fine_texture_becomes_its_mean():
    stripes = np.zeros((64, 64, 3), "u1")
    stripes[:, ::2] = 255
    inner = image_tensor(stripes, (16, 16))[:, 2:-2, 2:-2]
    np.testing.assert_allclose(inner, 0.5, atol=0.02)


@pytest.mark.parametrize("size", [(7, 11), (300, 200), (8, 500)])
def test_values_stay_between_0_and_1(size):
    for image in (RGB, np.full_like(RGB, 255)):
        tensor = image_tensor(image, size)
        assert float(tensor.min()) >= 0
        assert float(tensor.max()) <= 1
    np.testing.assert_allclose(tensor, 1, atol=1e-6)
