"""Files that Open3D 0.20 has written (24 points of a block on a table, 4 rows of 6, 2 mm apart) are read as they are."""

from pathlib import Path

import numpy as np
import pytest

from endline.evidence.scans.stored_scan import decode_scan

FOLDER = Path(__file__).parent / "open3d_files"
DOWN, ACROSS = np.mgrid[:4, :6]
DEPTH = np.where((abs(ACROSS - 2.5) < 1) & (abs(DOWN - 1.5) < 1), 480.0, 500.0)


def test_the_files_are_there():
    assert len(list(FOLDER.iterdir())) == 13


@pytest.mark.parametrize("path", sorted([*FOLDER.glob("*.ply"), *FOLDER.glob("*.pcd")]), ids=lambda path: path.name)
def test_a_cloud_of_open3d_is_read(path):
    stored = decode_scan(path)
    read = np.stack([stored.x, stored.y, stored.z], axis=-1)
    np.testing.assert_allclose(read, np.stack([2 * ACROSS, 2 * DOWN, DEPTH], axis=-1).reshape(-1, 3), atol=1e-3)
    assert stored.measured.all()


def test_a_depth_image_of_open3d_is_read():
    stored = decode_scan(FOLDER / "depth.png")
    assert stored.counts
    np.testing.assert_array_equal(stored.z, 10 * DEPTH)
