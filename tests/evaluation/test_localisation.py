"""Pixel AUROC: against scikit-learn on full maps, and what it leaves out."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from endline.evaluation.localisation import localisation, missing_for_pixel_auroc
from endline.feature_set import FeatureSet

SIZE = (256, 256)


def pixel_auroc(scored, maps, masks):
    return localisation(scored.assign(kind="dent"), maps, masks).pixel_auroc


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


def kinds(shifts: dict[str, float], seed: int = 3):
    """Four normals and three items a kind, each with a small and a large square that are raised by the kind's shift."""
    rng = np.random.default_rng(seed)
    names = ["normal"] * 4 + [kind for kind in shifts for _ in range(3)]
    maps = rng.standard_normal((len(names), 64, 64)).astype("f4")
    masks = np.zeros(maps.shape, bool)
    for item, kind in enumerate(names):
        if kind != "normal":
            masks[item, 2:6, 2:6] = masks[item, 20:60, 20:60] = True
            maps[item][masks[item]] += shifts[kind]
    known = {"label": pd.array([int(kind != "normal") for kind in names], "Int8"), "kind": names}
    return pd.DataFrame({**known, "mask_path": [None if kind == "normal" else "m" for kind in names]}), maps, masks


def test_each_kind_is_compared_with_the_good_pixels_of_normals_and_its_own():
    rows, maps, masks = kinds({"crack": 0.5, "dent": 3.0})
    found = localisation(rows, FeatureSet({"map": maps}), FeatureSet({"defect": masks})).by_kind
    for kind in ("crack", "dent"):
        used = rows["kind"].isin(["normal", kind]).to_numpy()
        assert found[kind] == pytest.approx(roc_auc_score(masks[used].ravel(), maps[used].ravel()), abs=5e-4)
    assert list(found) == ["crack", "dent"]


def test_the_overlap_is_that_of_a_loop_over_thresholds_and_regions():
    rows, maps, masks = kinds({"crack": 0.5, "dent": 2.0})
    maps[4, 2:6, 2:6] -= 9.0  # one small defect is missed: it weighs as much as a large one
    regions = [(item, where) for item in range(4, 10) for where in (np.s_[2:6, 2:6], np.s_[20:60, 20:60])]
    good = np.sort(maps[~masks])[::-1]
    shares = np.linspace(0, 0.3, 4001)
    thresholds = good[np.minimum((shares * len(good)).astype(int), len(good) - 1)]
    overlaps = [[(maps[item][where] > level).mean() for item, where in regions] for level in thresholds]
    expected = np.trapezoid(np.mean(overlaps, 1), shares) / 0.3
    found = localisation(rows, FeatureSet({"map": maps}), FeatureSet({"defect": masks})).aupro
    assert found == pytest.approx(expected, abs=2e-3)


def test_defects_that_touch_at_a_corner_are_one():
    rows, maps, masks = kinds({"dent": 3.0})
    masks[:] = False
    masks[4:, 8:16, 8:16] = masks[4:, 16:18, 16:18] = True
    apart = masks.copy()
    apart[4:, 16:18, 16:18] = False
    apart[4:, 30:32, 30:32] = True
    together, separate = (
        localisation(rows, FeatureSet({"map": maps}), FeatureSet({"defect": each})).aupro for each in (masks, apart)
    )
    assert together != separate


def test_a_map_that_is_the_mask_overlaps_wholly():
    rows, _, masks = kinds({"dent": 3.0})
    found = localisation(rows, FeatureSet({"map": masks.astype("f4")}), FeatureSet({"defect": masks}))
    assert found.aupro == pytest.approx(1.0)
    assert found.pixel_auroc == 1.0
