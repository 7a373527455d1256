"""Fused PatchCore: two banks, standardised by normals that they have not seen."""

import numpy as np
import pandas as pd
import pytest
import torch

from endline.detectors.maps.patchcore import Patchcore, PatchcoreConfig
from endline.detectors.progress import Progress
from endline.detectors.scans.fused_patchcore import FusedPatchcore, FusedPatchcoreConfig
from endline.errors import EndlineError
from endline.feature_set import FeatureSet

CONFIG = FusedPatchcoreConfig(depth_channels=3, coreset=0.5, neighbours=1, blur=0.0)


def maps(count: int, seed: int = 0, photograph: float = 0.0, depth: float = 0.0, size: float = 1.0) -> FeatureSet:
    """Noise of 5 channels of a photograph and 3 of depth, with a spot in either."""
    values = np.random.default_rng([seed, count]).standard_normal((count, 8, 6, 6))
    values[:, :5, 1, 1] += photograph
    values[:, 5:, 4, 4] += depth
    values[:, 5:] *= size
    return FeatureSet({"scale_0": values.astype("f4")}, key=f"{count} {seed} {photograph} {depth} {size}")


def fitted(config: FusedPatchcoreConfig = CONFIG, size: float = 1.0, count: int = 40) -> FusedPatchcore:
    detector = FusedPatchcore(config)
    detector.fit(maps(count, size=size), seed=0, progress=Progress())
    return detector


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("fusion", ["scores", "maps"])
def test_either_modality_is_heard_whatever_the_size_of_its_numbers(size, fusion):
    detector = fitted(FusedPatchcoreConfig(**{**CONFIG.__dict__, "fusion": fusion}), size)
    good = detector.score(maps(20, 1, size=size).read())
    for spots, place in (({"photograph": 12.0}, (1, 1)), ({"depth": 12.0}, (4, 4))):
        found = detector.score(maps(20, 2, **spots, size=size).read())
        assert (found.score > good.score.quantile(0.9)).float().mean() > 0.9
        row, column = np.unravel_index(int(found.map.mean(0).argmax()), (6, 6))
        assert abs(row - place[0]) <= 1
        assert abs(column - place[1]) <= 1


def test_one_bank_for_both_does_not_hear_the_modality_of_small_numbers():
    """What the fusion is for."""
    detector = Patchcore(PatchcoreConfig(scales=(0,), coreset=0.5, neighbours=1, blur=0.0))
    detector.fit(maps(40, size=1e-3), seed=0, progress=Progress())
    good = detector.score(maps(20, 1, size=1e-3).read()).score
    found = detector.score(maps(20, 2, depth=12.0, size=1e-3).read()).score
    assert (found > good.quantile(0.9)).float().mean() < 0.5


def test_scores_are_the_sums_of_both_standardised():
    detector = fitted()
    batch = maps(5, 3).read()
    model = detector.model
    members = [member._score(batch) for member in detector.members.values()]
    expected = sum((one.score - model.level[n]) / model.spread[n] for n, one in enumerate(members))
    torch.testing.assert_close(detector.score(batch).score, expected)
    drawn = sum((one.map - model.level[n]) / model.spread[n] for n, one in enumerate(members))
    torch.testing.assert_close(detector.score(batch).map, drawn)
    by_maps = FusedPatchcore(FusedPatchcoreConfig(**{**CONFIG.__dict__, "fusion": "maps"}))
    by_maps.fit(maps(40), seed=0, progress=Progress())
    torch.testing.assert_close(by_maps.score(batch).score, drawn.flatten(1).amax(1))


def test_new_normals_lie_about_0_since_unseen_ones_gave_level_and_spread():
    scores = fitted(count=80).score(maps(60, 4).read()).score
    assert abs(scores.mean()) < 1
    assert 0.7 < scores.std() < 2.5


def test_parts_are_kept_back_whole():
    detector = FusedPatchcore(CONFIG)
    rows = pd.DataFrame({"sample_id": [str(n) for n in range(6)], "unit": ["a"] * 6})
    detector.fit(maps(6), seed=0, progress=Progress(), rows=rows)
    assert detector.model.level.tolist() == [0.0, 0.0]  # one part alone: nothing is kept back
    assert detector.score(maps(2, 1).read()).score.isfinite().all()


def test_maps_of_one_modality_are_told():
    with pytest.raises(EndlineError) as caught:
        FusedPatchcore(FusedPatchcoreConfig()).fit(maps(6), seed=0, progress=Progress())
    assert str(caught.value) == (
        "fused_patchcore takes the last 64 channels of the maps as depth and there are 8: it needs photographs and "
        "scans (modality both); or choose patchcore."
    )


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"fusion": "votes"}, "fused_patchcore has no fusion 'votes': choose one of scores, maps."),
        ({"depth_channels": 0}, "fused_patchcore has depth_channels=0 and share=0.25: choose at least 1 channel"),
        ({"share": 1.0}, "fused_patchcore has depth_channels=64 and share=1.0: choose"),
    ],
)
def test_wrong_settings_are_told(changes, sentence):
    with pytest.raises(EndlineError, match=sentence):
        FusedPatchcoreConfig(**changes)
