"""What of a part was not measured counts in the score of every detector, and lies in its map."""

import numpy as np
import pytest
import torch

from endline.detectors.extremes import Extremes
from endline.detectors.maps.patchcore import Patchcore, PatchcoreConfig
from endline.detectors.pooled.gaussian import Gaussian, GaussianConfig
from endline.detectors.progress import Progress
from endline.detectors.registry import load_detector
from endline.errors import EndlineError
from endline.feature_set import FeatureSet


def parts(count: int, seed: int = 0) -> FeatureSet:
    """Parts whose left edge is measured badly, each where it lies, and the rest with single pixels lost."""
    rng = np.random.default_rng([seed, count])
    gap = (rng.random((count, 1, 12, 12)) < 0.05).astype("f4")
    gap[np.arange(count), 0, rng.integers(3, 8, count), 0] = rng.uniform(4, 6, count)
    maps = rng.standard_normal((count, 3, 6, 6)).astype("f4")
    return FeatureSet({"scale_0": maps, "gap": gap}, key=f"gaps {count} {seed}")


def fitted(make=lambda: Gaussian(GaussianConfig())):
    detector = make()
    detector.fit(parts(40), seed=0, progress=Progress())
    return detector


@pytest.mark.parametrize("make", [lambda: Gaussian(GaussianConfig()), lambda: Patchcore(PatchcoreConfig(scales=(0,)))])
def test_a_gap_where_good_parts_have_none_raises_the_score_and_the_map(make):
    detector, new = fitted(make), parts(8, 1).read()
    hole = {name: array.clone() for name, array in new.items()}
    hole["gap"][0, 0, 6, 8] = 5.0
    before, after = detector.score(new), detector.score(hole)
    assert after.score[0] > before.score.max() + 1
    torch.testing.assert_close(after.score[1:], before.score[1:], rtol=0, atol=0)
    if after.map is not None:
        row, column = divmod(int((after.map - before.map)[0].argmax()), 6)
        assert (row, column) == (3, 4)


def test_what_good_parts_lack_at_their_edge_raises_nothing():
    detector, new = fitted(), parts(40, 2)
    bare = Gaussian(GaussianConfig())
    bare.fit(parts(40).only(("scale",)), seed=0, progress=Progress())
    assert not bare.score(new.read()).score.sub(detector.score(new.read()).score).any()


def test_the_method_itself_never_sees_the_gaps():
    with_gaps, without = fitted(), Gaussian(GaussianConfig())
    without.fit(parts(40).only(("scale",)), seed=0, progress=Progress())
    assert with_gaps.model.get_buffer("mean").shape == without.model.get_buffer("mean").shape


def test_gaps_are_saved_and_a_sample_without_them_is_refused(tmp_path):
    detector, new = fitted(), parts(8, 1).read()
    new["gap"][0, 0, 6, 8] = 5.0
    detector.save(tmp_path)
    torch.testing.assert_close(load_detector(tmp_path).score(new).score, detector.score(new).score)
    with pytest.raises(EndlineError, match="no array 'gap'"):
        detector.score({"scale_0": new["scale_0"]})


def test_parts_at_any_angle_allow_each_other_their_gaps():
    """One wide shadow, anywhere: no place is usual, so that only a wider one counts."""
    rng = np.random.default_rng(0)
    normal = np.zeros((20, 1, 12, 12), "f4")
    normal[np.arange(20), 0, *rng.integers(0, 12, (2, 20))] = 4.0
    gaps = Extremes(1, 12, 12)
    gaps.fit(FeatureSet({"gap": normal}), "gap")
    new = torch.zeros(2, 1, 12, 12)
    new[0, 0, 5, 5], new[1, 0, 5, 5] = 5.0, 12.0
    assert gaps(new).flatten(1).amax(1).gt(0).tolist() == [False, True]
