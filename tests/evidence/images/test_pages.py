"""Files of several pages: the first is judged, and the others are told."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from PIL import Image

from endline.evidence.images.index import index_image, index_images
from endline.evidence.images.pages import page_count, warn_of_pages

PIXELS = [np.random.default_rng(seed).integers(0, 256, (24, 32, 3), dtype="u1") for seed in range(3)]


def saved(path: Path, *pages: np.ndarray, **options) -> Path:
    """A file of these pages; Pillow leaves on a picture how it was saved, so each is made anew."""
    first, *others = (Image.fromarray(page) for page in pages)
    first.save(path, **options, **({"save_all": True, "append_images": others} if others else {}))
    return path


@pytest.mark.parametrize(
    ("name", "pages"),
    [("a.tif", 3), ("a.webp", 3), ("a.png", 3), ("one.png", 1), ("one.jpg", 1), ("one.tif", 1), ("one.webp", 1)],
)
def test_pages_and_frames_are_counted(tmp_path, name, pages):
    saved(tmp_path / name, *PIXELS[:pages])
    assert page_count(tmp_path / name) == pages
    assert index_image(tmp_path / name)["pages"].tolist() == [pages]


def test_previews_are_no_pages(tmp_path):
    assert page_count(saved(tmp_path / "a.mpo", *PIXELS).rename(tmp_path / "a.jpg")) == 1
    assert page_count(saved(tmp_path / "a.tif", PIXELS[0], PIXELS[0][::4, ::4])) == 1
    with tifffile.TiffWriter(tmp_path / "b.tif") as file:
        file.write(PIXELS[0], photometric="rgb")
        file.write(PIXELS[1], photometric="rgb", subfiletype=1)
    assert page_count(tmp_path / "b.tif") == 1


def test_the_index_says_once_that_the_first_page_is_judged(tmp_path, caplog):
    (tmp_path / "normal").mkdir()
    for number, pages in enumerate((3, 2, 1)):
        saved(tmp_path / f"normal/{number}.tif", *[page + np.uint8(number) for page in PIXELS[:pages]])
    index_images(tmp_path, group=None, simulated=False)
    assert [record.message for record in caplog.records if "pages" in record.message] == [
        "normal/0.tif has 3 pages, and 1 more have several, of which the first is judged: export each as a file of its "
        "own."
    ]


def test_a_table_without_pages_is_passed(caplog):
    warn_of_pages(pd.DataFrame({"path": ["a.png"]}))
    warn_of_pages(pd.DataFrame({"path": ["a.png"], "pages": [1]}))
    assert not caplog.records
