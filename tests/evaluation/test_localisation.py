"""Pixel AUROC: against scikit-learn on full maps, and what it leaves out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from endline.evaluation.localisation import missing_for_pixel_auroc, pixel_auroc
from endline.feature_set import FeatureSet

SIZE = (256, 256)


def evidence(shift: float, size=SIZE, seed: int = 0):
    """Six normals and six defective items, whose maps are noise that is raised by `shift` in the defect."""
    rng = np.random.default_rng(seed)
    maps = rng.standard_normal((12, *size)).astype("f4")
    masks = np.zeros((12, *size), bool)
    for item in range(6, 12):
        top, left = rng.integers(0, size[0] // 2, 2)
        masks[item, top : top + size[0] // 4, left : left + size[1] // 4] = True
    maps[masks] += shift
    rows = pd.DataFrame(
        {
            "label": pd.array([0] * 6 + [1] * 6, dtype="Int8"),
            "mask_path": [None] * 6 + [f"{item}.png" for item in range(6, 12)],
        }
    )
    return rows, maps, masks


@pytest.mark.parametrize("shift", [0.0, 1.0, 5.0])
def test_it_is_the_auroc_over_all_pixels(shift):
    rows, maps, masks = evidence(shift)
    expected = roc_auc_score(masks.ravel(), maps.ravel())
    assert pixel_auroc(rows, FeatureSet({"map": maps}), FeatureSet({"defect": masks})) == pytest.approx(
        expected, abs=2e-4
    )


def test_small_maps_are_raised_to_the_masks():
    rows, maps, masks = evidence(5.0)
    small = np.stack([one.reshape(16, 16, 16, 16).mean((1, 3)) for one in maps])
    assert pixel_auroc(rows, FeatureSet({"map": small}), FeatureSet({"defect": masks})) > 0.98


def test_a_few_huge_values_do_not_blur_the_rest():
    rows, maps, masks = evidence(1.0)
    expected = roc_auc_score(masks.ravel(), maps.ravel())
    maps[7, :2, :2] = 1e9
    assert pixel_auroc(rows, FeatureSet({"map": maps}), FeatureSet({"defect": masks})) == pytest.approx(
        expected, abs=2e-3
    )


def test_items_of_unknown_label_and_defects_without_a_mask_do_not_count():
    rows, maps, masks = evidence(1.0)
    fewer = FeatureSet({"map": np.delete(maps, [0, 8], axis=0)})
    before = pixel_auroc(rows.drop(index=[0, 8]), fewer, FeatureSet({"defect": np.delete(masks, [0, 8], axis=0)}))
    rows.loc[8, "mask_path"] = None
    rows.loc[0, "label"] = pd.NA
    assert pixel_auroc(rows, FeatureSet({"map": maps}), FeatureSet({"defect": masks})) == pytest.approx(
        before, abs=2e-4
    )


def test_without_maps_or_masks_there_is_no_figure():
    rows, maps, masks = evidence(1.0)
    assert pixel_auroc(rows, FeatureSet({"map": np.zeros((12, 0, 0), "f4")}), FeatureSet({"defect": masks})) is None
    assert pixel_auroc(rows.assign(mask_path=None), FeatureSet({"map": maps}), FeatureSet({"defect": masks})) is None
    assert pixel_auroc(rows[:6], FeatureSet({"map": maps[:6]}), FeatureSet({"defect": masks[:6]})) is None
    assert pixel_auroc(rows, FeatureSet({"map": maps}), None) is None
    nothing = FeatureSet({"map": np.zeros((12, 0, 0), "f4")})
    assert "no anomaly maps" in missing_for_pixel_auroc(rows, nothing, FeatureSet({"defect": masks}))
    assert "defect mask" in missing_for_pixel_auroc(rows, FeatureSet({"map": maps}), None)
    assert missing_for_pixel_auroc(rows, FeatureSet({"map": maps}), FeatureSet({"defect": masks})) is None


def test_a_mask_of_a_normal_item_does_not_count():
    rows, maps, masks = evidence(1.0)
    before = pixel_auroc(rows, FeatureSet({"map": maps}), FeatureSet({"defect": masks}))
    rows.loc[0, "mask_path"] = "0.png"
    masks[0, :9] = True
    assert pixel_auroc(rows, FeatureSet({"map": maps}), FeatureSet({"defect": masks})) == before


def test_maps_and_masks_are_read_in_batches(monkeypatch):
    rows, maps, masks = evidence(1.0)
    sizes = []
    read = FeatureSet.read
    monkeypatch.setattr(FeatureSet, "read", lambda self, chosen=None: sizes.append(chosen) or read(self, chosen))
    monkeypatch.setattr("endline.evaluation.localisation.BATCH", 5)
    monkeypatch.setattr("endline.evaluation.map_values.BATCH", 5)
    pixel_auroc(rows, FeatureSet({"map": maps}), FeatureSet({"defect": masks}))
    assert {len(chosen) for chosen in sizes} == {5, 2}
