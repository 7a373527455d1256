"""Scan files of every kind, whole, odd and broken."""

import re
import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from endline.errors import FileRejected
from endline.evidence.scans.pcd import unpacked
from endline.evidence.scans.reading import ScanReading
from endline.evidence.scans.stored_scan import decode_scan

DEPTH = np.arange(1, 13, dtype=np.float32).reshape(3, 4) * 100
XYZ = np.stack([np.tile(np.arange(4.0), (3, 1)), np.tile(np.arange(3.0)[:, None], 4), DEPTH], -1).astype(np.float32)
POINTS = XYZ.reshape(-1, 3)


def ply(order: str, body: bytes, lines: tuple[str, ...] = (), properties="float x|float y|float z", count=12) -> bytes:
    head = ["ply", f"format {order} 1.0", *lines, f"element vertex {count}"]
    head += [f"property {each}" for each in properties.split("|")]
    head += ["element face 0", "property list uchar int vertex_indices", "end_header", ""]
    return "\n".join(head).encode() + body


def pcd(data: str, body: bytes, width: int = 4, height: int = 3, fields: str = "x y z") -> bytes:
    count = len(fields.split())
    head = ["# .PCD v0.7", "VERSION 0.7", f"FIELDS {fields}", "SIZE" + " 4" * count, "TYPE" + " F" * count]
    head += ["COUNT" + " 1" * count, f"WIDTH {width}", f"HEIGHT {height}", "VIEWPOINT 0 0 0 1 0 0 0"]
    return "\n".join([*head, f"POINTS {width * height}", f"DATA {data}", ""]).encode() + body


def text(points: np.ndarray) -> bytes:
    return "\n".join(" ".join(f"{value:g}" for value in point) for point in points).encode() + b"\n"


def literal(data: bytes) -> bytes:
    """LZF of literal runs alone."""
    return b"".join(bytes([len(data[at : at + 32]) - 1]) + data[at : at + 32] for at in range(0, len(data), 32))


@pytest.fixture
def rejected(tmp_path):
    """Writes a file and gives the sentence that refuses it."""

    def sentence(name: str, content: bytes, megapixels: float = 100.0) -> str:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(FileRejected) as problem:
            decode_scan(path, megapixels)
        return str(problem.value)

    return sentence


def tiff_bytes(tmp_path, values: np.ndarray, **options) -> bytes:
    tifffile.imwrite(tmp_path / "made.tiff", values, **options)
    return (tmp_path / "made.tiff").read_bytes()


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])  # the latter is stored row by row, a page each
def test_a_tiff_of_x_y_and_z(tmp_path, compression, photometric):
    tifffile.imwrite(tmp_path / "a.tiff", XYZ, compression=compression, photometric=photometric)
    scan = decode_scan(tmp_path / "a.tiff")
    np.testing.assert_array_equal(scan.z, DEPTH)
    np.testing.assert_array_equal(scan.x, XYZ[..., 0])
    assert not scan.counts


def test_a_tiff_stored_plane_by_plane(tmp_path):
    tifffile.imwrite(tmp_path / "a.tiff", np.moveaxis(XYZ, 2, 0), planarconfig="separate", photometric="rgb")
    np.testing.assert_array_equal(decode_scan(tmp_path / "a.tiff").y, XYZ[..., 1])


def test_a_tiff_of_depth_alone_has_no_positions(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", DEPTH.astype(np.float64))
    scan = decode_scan(tmp_path / "a.tif")
    np.testing.assert_array_equal(scan.z, DEPTH)
    assert scan.x.size == 0


def test_a_png_of_16_bits_counts_steps(tmp_path):
    Image.fromarray(DEPTH.astype(np.uint16).repeat(4, 0).repeat(4, 1)).save(tmp_path / "a.png")
    scan = decode_scan(tmp_path / "a.png")
    assert scan.counts
    assert ScanReading(step=0.25).scan_of(scan).depth[0, 0] == 25.0


def test_eyecandies_depth_is_told_by_the_file_beside(tmp_path):
    values = np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "00_depth.png")
    (tmp_path / "00_info_depth.yaml").write_text("normalization: {min: 0.5, max: 1.5}\n")
    scan = decode_scan(tmp_path / "00_depth.png")
    assert scan.z.min() == 0.5
    assert scan.z.max() == 1.5
    (tmp_path / "00_info_depth.yaml").write_text("normalization: {min: 0.5}\n")
    with pytest.raises(FileRejected, match=r"00_info_depth.yaml beside it does not tell normalization: min and max"):
        decode_scan(tmp_path / "00_depth.png")


@pytest.mark.parametrize("values", [DEPTH, XYZ, np.asfortranarray(DEPTH), DEPTH.astype(">f8")])
def test_npy(tmp_path, values):
    np.save(tmp_path / "a.npy", values)
    np.testing.assert_array_equal(decode_scan(tmp_path / "a.npy").z, DEPTH)


def test_npz_names_depth_and_positions(tmp_path):
    np.savez_compressed(tmp_path / "a.npz", depth=DEPTH, x=XYZ[..., 0], y=XYZ[..., 1])
    scan = decode_scan(tmp_path / "a.npz")
    np.testing.assert_array_equal(scan.z, DEPTH)
    np.testing.assert_array_equal(scan.y, XYZ[..., 1])
    np.savez(tmp_path / "b.npz", anything=XYZ)
    np.testing.assert_array_equal(decode_scan(tmp_path / "b.npz").x, XYZ[..., 0])


@pytest.mark.parametrize(
    ("order", "kind"), [("binary_little_endian", "<f4"), ("binary_big_endian", ">f4"), ("ascii", "")]
)
def test_ply(tmp_path, order, kind):
    body = POINTS.astype(kind).tobytes() if kind else text(POINTS)
    (tmp_path / "a.ply").write_bytes(ply(order, body))
    scan = decode_scan(tmp_path / "a.ply")
    assert scan.z.shape == (12,)
    np.testing.assert_array_equal(scan.z, DEPTH.ravel())
    (tmp_path / "b.ply").write_bytes(ply(order, body, ("obj_info num_cols 4", "obj_info num_rows 3")))
    np.testing.assert_array_equal(decode_scan(tmp_path / "b.ply").z, DEPTH)


def test_ply_with_colours_between(tmp_path):
    layout = np.dtype([("red", "u1"), ("z", "<f8"), ("y", "<f4"), ("x", "<f4")])
    vertices = np.zeros(12, layout)
    vertices["x"], vertices["y"], vertices["z"] = POINTS.T
    properties = "uchar red|double z|float y|float x"
    (tmp_path / "a.ply").write_bytes(ply("binary_little_endian", vertices.tobytes(), properties=properties))
    scan = decode_scan(tmp_path / "a.ply")
    np.testing.assert_array_equal(np.stack([scan.x, scan.y, scan.z], -1), POINTS)


@pytest.mark.parametrize("data", ["ascii", "binary", "binary_compressed"])
def test_pcd(tmp_path, data):
    plain = POINTS.T.astype("<f4").tobytes()
    packed = literal(plain)
    body = {
        "ascii": text(POINTS),
        "binary": POINTS.tobytes(),
        "binary_compressed": struct.pack("<II", len(packed), len(plain)) + packed,
    }[data]
    (tmp_path / "a.pcd").write_bytes(pcd(data, body))
    np.testing.assert_array_equal(decode_scan(tmp_path / "a.pcd").z, DEPTH)
    (tmp_path / "b.pcd").write_bytes(pcd(data, body, 12, 1))
    assert decode_scan(tmp_path / "b.pcd").z.shape == (12,)


def test_lzf_refers_back_over_what_it_writes():
    assert unpacked(bytes([0, 7, 0xE0, 20, 0]), 30) == bytes([7]) * 30
    with pytest.raises(FileRejected, match="cut short"):
        unpacked(bytes([0, 7, 0xE0, 20, 9]), 30)


def test_missing_is_0_nan_or_infinite(tmp_path):
    depth = DEPTH.copy()
    depth[0, :3] = 0, np.nan, np.inf
    np.save(tmp_path / "a.npy", depth)
    read = ScanReading().scan_of(decode_scan(tmp_path / "a.npy")).depth
    assert np.isnan(read[0, :3]).all()
    assert np.isfinite(read).sum() == 9


@pytest.mark.parametrize(
    ("value", "kind", "scale"),
    [(-9999, "f4", 1), (-32768, "i2", 1), (65535, "u2", 75), (1e5, "f4", 1), (-9999, "f4", 1000), (3.4e38, "f4", 1)],
)
def test_a_value_that_many_pixels_share_far_from_the_rest_is_not_measured(tmp_path, parts, value, kind, scale):
    depth = (parts.depth(1) * scale).astype(kind)
    expected = depth.astype("f4")
    depth[3:5, 7:12], expected[3:5, 7:12] = value, np.nan
    np.save(tmp_path / "a.npy", depth)
    read = ScanReading().read(tmp_path / "a.npy")
    np.testing.assert_array_equal(read.depth, expected)
    assert read.placeholders == pytest.approx((value,))


@pytest.mark.parametrize("value", [-9999, 65535])
def test_single_pixels_far_away_are_depths(tmp_path, parts, value):
    depth = parts.depth(1)
    depth[3, 7:10] = value
    np.save(tmp_path / "a.npy", depth)
    np.testing.assert_array_equal(ScanReading().read(tmp_path / "a.npy").depth, depth)


def test_values_without_noise_are_depths(tmp_path):
    for low, high in ((570, 600), (-20, 5), (1, 21), (60000, 65000)):
        depth = np.full((20, 20), high, np.float32)
        depth[5:15, 5:15] = low
        np.save(tmp_path / "a.npy", depth)
        np.testing.assert_array_equal(ScanReading().read(tmp_path / "a.npy").depth, depth)


def test_a_tiff_cut_short_is_refused(tmp_path, rejected):
    for compression in (None, "zlib"):
        content = tiff_bytes(tmp_path, np.tile(XYZ, (20, 20, 1)), compression=compression, photometric="rgb")
        for kept in (len(content) - 1, len(content) // 2, 60):
            said = rejected("a.tiff", content[:kept])
            assert said == "the scan is damaged or cut short and cannot be decoded: copy it again from its source."


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.ply", b"", "the file is empty (0 bytes): scan the part again."),
        ("a.obj", b"v 0 0 0", "the ending '.obj' is not one of a scan: export it as one of .npy, .npz, .pcd, .ply"),
        ("a.ply", b"solid", "no PLY file: it does not begin with 'ply': export it again from its source."),
        ("a.ply", b"ply\nformat ascii 1.0\nelement vertex 3\n", "no PLY file: its header is damaged"),
        (
            "a.ply",
            ply("ascii", b"1 2\n", properties="float x|float intensity"),
            "the PLY file has no y and no z among the properties of its vertices (x, intensity): export x, y and z.",
        ),
        ("a.ply", ply("binary_little_endian", POINTS.tobytes()[:-1]), "the PLY file is cut short: copy it again"),
        ("a.ply", ply("ascii", text(POINTS[:-1])), "the PLY file is cut short: copy it again from its source."),
        ("a.ply", ply("ascii", b"1 2 three\n", count=1), "a vertex is no number: export it again from its source."),
        (
            "a.pcd",
            pcd("ascii", b"", fields="x y intensity"),
            "the PCD file has no z among its fields (x, y, intensity): export x, y and z.",
        ),
        ("a.pcd", pcd("binary", POINTS.tobytes()[:-1]), "the PCD file is cut short: copy it again from its source."),
        ("a.pcd", pcd("binary_compressed", b"\0\0\0\0"), "the PCD file is cut short: copy it again from its source."),
        ("a.pcd", b"no header\n" * 3, "no PCD file: its header is damaged: export it again from its source."),
        ("a.npy", b"\x93NUMPY", "the scan is damaged or cut short and cannot be decoded: copy it again"),
    ],
)
def test_a_broken_file_is_refused_by_a_sentence(rejected, name, content, said):
    assert said in rejected(name, content)


def test_what_is_no_depth_is_refused(tmp_path, rejected):
    colours = np.zeros((8, 8, 3), np.uint8)
    said = "its pixels are no depth: they have 8 bits or colours: export the depth as grey PNG of 16 bits"
    assert said in rejected("a.tiff", tiff_bytes(tmp_path, colours, photometric="rgb"))
    Image.fromarray(colours).save(tmp_path / "b.png")
    assert said in rejected("b.png", (tmp_path / "b.png").read_bytes())
    np.save(tmp_path / "c.npy", np.zeros((4, 5, 2), np.float32))
    assert "its array has the shape (4, 5, 2): export one of the shape (height, width)" in rejected(
        "c.npy", (tmp_path / "c.npy").read_bytes()
    )
    np.savez(tmp_path / "d.npz", a=DEPTH, b=DEPTH)
    assert rejected("d.npz", (tmp_path / "d.npz").read_bytes()) == (
        "it holds a, b, and no array named depth or xyz: name the array depth or xyz."
    )
    np.savez(tmp_path / "e.npz", z=DEPTH, x=DEPTH[:2], y=DEPTH)
    assert "its arrays differ: z is (3, 4), x (2, 4), y (3, 4)" in rejected("e.npz", (tmp_path / "e.npz").read_bytes())
    np.save(tmp_path / "f.npy", np.array([{"pickled": 1}]), allow_pickle=True)
    assert "its values are of the type object, no numbers" in rejected("f.npy", (tmp_path / "f.npy").read_bytes())


@pytest.mark.parametrize("columns", [4, 6, 7])
def test_points_with_colours_or_normals_are_no_depth(tmp_path, rejected, columns):
    points = np.resize(np.tile(POINTS, (10, 3)), (120, columns)).astype("f4")
    np.save(tmp_path / "a.npy", points)
    assert rejected("a.npy", (tmp_path / "a.npy").read_bytes()) == (
        f"its array has the shape (120, {columns}): points with more than x, y and z, or a strip of depth: export x, y "
        "and z alone, of the shape (points, 3)."
    )


def test_the_size_is_judged_by_the_header(tmp_path, rejected):
    np.save(tmp_path / "a.npy", DEPTH)
    huge = re.sub(rb"\(3, 4\)", b"(30000, 4)", (tmp_path / "a.npy").read_bytes(), count=1)
    for name, content in (
        ("a.npy", huge),
        ("a.ply", ply("ascii", b"", count=120_000)),
        ("a.pcd", pcd("binary", b"", 120_000, 1)),
    ):
        said = rejected(name, content, megapixels=0.1)
        assert "0.12 million points, more than the limit of 0.1" in said
        assert "--params=max_megapixels=1" in said


def test_a_compression_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    tifffile.imwrite(tmp_path / "a.tiff", DEPTH)

    def refused(*_, **__):
        raise ValueError("<COMPRESSION.LZW: 5> requires the 'imagecodecs' package")

    monkeypatch.setattr(tifffile.TiffPageSeries, "asarray", refused)
    with pytest.raises(FileRejected, match="its compression cannot be read: export it without compression, or with"):
        decode_scan(tmp_path / "a.tiff")


def test_a_compressed_archive_does_not_lie_about_its_size(tmp_path, rejected):
    head = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118)
    head += b"{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }".ljust(117) + b"\n"
    assert zlib.crc32(head)  # a header of its own, with half of the numbers behind it
    assert "cut short" in rejected("a.npy", head + DEPTH.tobytes()[:20])
