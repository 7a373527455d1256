"""Pixel AUROC: against scikit-learn on full maps, and what it leaves out."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import roc_auc_score

from endline.evaluation.localisation import SIZE, pixel_auroc
from endline.feature_set import FeatureSet


def evidence(folder, telling: float, size=SIZE, seed: int = 0):
    """Six normals and six defective items, whose maps are noise that is raised by `telling` in the defect."""
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((12, *size)).astype("f4")
    masks = np.zeros((12, *size), bool)
    for item in range(6, 12):
        top, left = rng.integers(0, size[0] // 2, 2)
        masks[item, top : top + size[0] // 4, left : left + size[1] // 4] = True
        Image.fromarray((masks[item] * 255).astype(np.uint8)).save(folder / f"{item}.png")
    maps[masks] += telling
    rows = pd.DataFrame(
        {
            "label": pd.array([0] * 6 + [1] * 6, dtype="Int8"),
            "mask_path": [None] * 6 + [f"{item}.png" for item in range(6, 12)],
        }
    )
    return rows, maps, masks


@pytest.mark.parametrize("telling", [0.0, 1.0, 5.0])
def test_it_is_the_auroc_over_all_pixels(tmp_path, telling):
    rows, maps, masks = evidence(tmp_path, telling)
    expected = roc_auc_score(masks.ravel(), maps.ravel())
    assert pixel_auroc(rows, FeatureSet({"map": maps}), tmp_path) == pytest.approx(expected, abs=2e-4)


def test_small_maps_are_raised_to_the_masks(tmp_path):
    rows, maps, _ = evidence(tmp_path, 5.0)
    small = np.stack([one.reshape(16, 16, 16, 16).mean((1, 3)) for one in maps])
    assert pixel_auroc(rows, FeatureSet({"map": small}), tmp_path) > 0.98


def test_a_few_huge_values_do_not_blur_the_rest(tmp_path):
    rows, maps, masks = evidence(tmp_path, 1.0)
    expected = roc_auc_score(masks.ravel(), maps.ravel())
    maps[7, :2, :2] = 1e9
    assert pixel_auroc(rows, FeatureSet({"map": maps}), tmp_path) == pytest.approx(expected, abs=2e-3)


def test_items_of_unknown_label_and_defects_without_a_mask_do_not_count(tmp_path):
    rows, maps, _ = evidence(tmp_path, 1.0)
    before = pixel_auroc(rows.drop(index=[0, 8]), FeatureSet({"map": np.delete(maps, [0, 8], axis=0)}), tmp_path)
    rows.loc[8, "mask_path"] = None
    rows.loc[0, "label"] = pd.NA
    assert pixel_auroc(rows, FeatureSet({"map": maps}), tmp_path) == pytest.approx(before, abs=2e-4)


def test_without_maps_or_masks_there_is_no_figure(tmp_path):
    rows, maps, _ = evidence(tmp_path, 1.0)
    assert pixel_auroc(rows, FeatureSet({"map": np.zeros((12, 0, 0), "f4")}), tmp_path) is None
    assert pixel_auroc(rows.assign(mask_path=None), FeatureSet({"map": maps}), tmp_path) is None
    assert pixel_auroc(rows[:6], FeatureSet({"map": maps[:6]}), tmp_path) is None
