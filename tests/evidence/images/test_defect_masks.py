"""Defect masks as arrays, and the pixel AUROC they give."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from endline.array_store import ArrayStore
from endline.errors import EndlineError
from endline.evaluation.localisation import localisation
from endline.evidence.images.defect_masks import defect_masks
from endline.evidence.images.masks import read_mask
from endline.feature_set import FeatureSet


@pytest.fixture
def table(tmp_path):
    masks = np.zeros((20, 30, 40), np.uint8)
    paths: list[str | None] = [None] * 20
    for row in (3, 17, 19):
        masks[row, row : row + 5, 10:12] = 255
        Image.fromarray(masks[row]).save(tmp_path / f"{row}.png")
        paths[row] = f"{row}.png"
    for row in range(20):
        Image.fromarray(np.zeros((30, 40), np.uint8)).save(tmp_path / f"photograph_{row}.png")
    return pd.DataFrame({"path": [f"photograph_{row}.png" for row in range(20)], "mask_path": paths})


def test_masks_come_in_batches_and_are_empty_where_there_is_none(table, tmp_path):
    batches = list(defect_masks(table, tmp_path))
    assert [batch.shape for batch in batches] == [(16, 256, 256), (4, 256, 256)]
    masks = np.concatenate(batches)
    assert masks.dtype == np.bool_
    assert np.flatnonzero(masks.any((1, 2))).tolist() == [3, 17, 19]
    np.testing.assert_array_equal(masks[17], read_mask(tmp_path / "17.png", (256, 256)))


def test_they_are_kept_by_their_content(table, tmp_path):
    store = ArrayStore(tmp_path / "store")
    first, again = (store.keep("defect", defect_masks(table, tmp_path), len(table), "bool") for _ in range(2))
    assert first.shapes == {"defect": (256, 256)}
    np.testing.assert_array_equal(
        first.read()["defect"].numpy() > 0, np.concatenate(list(defect_masks(table, tmp_path)))
    )
    assert again.stored == first.stored
    Image.fromarray(np.full((30, 40), 255, np.uint8)).save(tmp_path / "3.png")
    assert store.keep("defect", defect_masks(table, tmp_path), len(table), "bool").stored != first.stored


def test_a_missing_mask_is_a_sentence(table, tmp_path):
    (tmp_path / "3.png").unlink()
    with pytest.raises(EndlineError, match=r"The mask .*3\.png cannot be read"):
        list(defect_masks(table, tmp_path))


def test_the_pixel_auroc_is_as_it_was_with_masks_read_one_by_one(tmp_path):
    """The figure is that of the first code, which read each mask file while it counted."""
    rng = np.random.default_rng(7)
    maps = rng.standard_normal((10, 24, 32)).astype("f4")
    paths = [None] * 4 + [f"{row}.png" for row in range(4, 8)] + [None] * 2
    labels = pd.array([0] * 4 + [1] * 4 + [None, 1], dtype="Int8")
    scored = pd.DataFrame({"label": labels, "kind": "dent", "path": "photograph.png", "mask_path": paths})
    Image.fromarray(np.zeros((300, 200), np.uint8)).save(tmp_path / "photograph.png")
    for row in range(4, 8):
        mask = np.zeros((300, 200), np.uint8)
        top, left = rng.integers(0, 200), rng.integers(0, 120)
        mask[top : top + 60, left : left + 50] = 255
        Image.fromarray(mask).save(tmp_path / f"{row}.png")
        maps[row, top * 24 // 300 : (top + 60) * 24 // 300, left * 32 // 200 : (left + 50) * 32 // 200] += 1.5
    store = ArrayStore(tmp_path / "store")
    masks = store.keep("defect", defect_masks(scored, tmp_path), len(scored), "bool")
    assert localisation(scored, FeatureSet({"map": maps}), masks).pixel_auroc == pytest.approx(
        0.8914877321488692, abs=1e-9
    )
