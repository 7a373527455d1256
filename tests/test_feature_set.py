"""Feature sets: views of named arrays, read in batches."""

import numpy as np
import pytest
import torch

from endline.errors import EndlineError
from endline.feature_set import FeatureSet
from endline.files import content_key

KEY = content_key("a", 1)
ARRAYS = {
    "maps": np.random.default_rng(0).standard_normal((5, 2, 3, 4)).astype("f4"),
    "vector": np.arange(15, dtype="f4").reshape(5, 3),
}


def same(batch: dict[str, torch.Tensor], rows: list[int]) -> bool:
    return set(batch) == set(ARRAYS) and all(
        torch.equal(batch[name], torch.from_numpy(array[rows])) for name, array in ARRAYS.items()
    )


def test_take_counts_within_the_view():
    features = FeatureSet(ARRAYS, key=KEY)
    view = features.take([4, 2, 0]).take([2, 0])
    assert len(view) == 2
    assert view.rows.tolist() == [0, 4]
    assert same(view.read(), [0, 4])
    assert same(view.read([1]), [4])
    assert view.key == KEY


def test_fingerprint_tells_the_rows_and_the_set():
    features = FeatureSet(ARRAYS, key=KEY)
    views = [features, features.take([0, 1]), features.take([1, 0]), FeatureSet(ARRAYS, key="other")]
    assert len({view.fingerprint for view in views}) == 4
    assert features.take([0, 1]).fingerprint == features.take([0, 1, 2]).take([0, 1]).fingerprint


@pytest.mark.parametrize("size", [1, 2, 5, 9])
def test_batches_cover_the_view_in_order(size):
    features = FeatureSet(ARRAYS).take([3, 1, 4, 0])
    batches = list(features.batches(size))
    assert all(len(batch["maps"]) <= size for batch in batches)
    joined = {name: torch.cat([batch[name] for batch in batches]) for name in ARRAYS}
    assert same(joined, [3, 1, 4, 0])


def test_batches_follow_the_given_order():
    batches = list(FeatureSet(ARRAYS).take([3, 1, 4, 0]).batches(2, order=[2, 0, 1]))
    assert same(batches[0], [4, 3])
    assert same(batches[1], [1])


def test_a_batch_is_a_copy():
    features = FeatureSet(ARRAYS)
    features.read([0])["maps"].zero_()
    assert same(features.read([0]), [0])


def test_an_empty_view_has_no_batches():
    view = FeatureSet(ARRAYS).take(np.arange(0))
    assert len(view) == 0
    assert list(view.batches(4)) == []


def test_arrays_of_different_length_are_told():
    with pytest.raises(EndlineError, match=r"arrays of one length, got .*'a': 2, 'b': 3.*: extract it again"):
        FeatureSet({"a": np.zeros((2, 1)), "b": np.zeros((3, 1))})
    with pytest.raises(EndlineError, match="needs arrays of one length"):
        FeatureSet({})


def test_only_shows_the_kinds_that_are_asked_for():
    arrays = {
        "scale_0": np.zeros((2, 3)),
        "scale_1": np.ones((2, 4)),
        "image": np.ones((2, 5)),
        "views": np.ones((2, 1)),
    }
    features = FeatureSet({name: array.astype("f4") for name, array in arrays.items()}, key="k").take([1])
    assert set(features.only(("scale",)).read()) == {"scale_0", "scale_1"}
    assert features.only(("views", "image")).shapes == {"image": (5,), "views": (1,)}
    assert features.only(("image",)).fingerprint == features.fingerprint
    with pytest.raises(EndlineError, match=r"^The feature set holds image, scale and no views: extract the features"):
        features.only(("scale", "image")).only(("views",))
    assert set(features.only(("image",), ("views", "mask")).read()) == {"image", "views"}


def test_joined_arrays_are_one_over_their_channels():
    fine, coarse = np.ones((3, 2, 4, 4), "f4"), np.full((3, 5, 4, 4), 2, "f4")
    features = FeatureSet({"scale_0": [fine, coarse], "views": [np.ones((3, 1, 6), "f4")] * 4})
    assert features.shapes == {"scale_0": (7, 4, 4), "views": (4, 6)}
    batch = features.read([1])
    assert batch["scale_0"].shape == (1, 7, 4, 4)
    assert batch["scale_0"][0, :, 0, 0].tolist() == [1, 1, 2, 2, 2, 2, 2]
    pairs = FeatureSet({"scale_0": [fine, coarse]}, rows=[[0, 1], [1, 2]])
    assert pairs.shapes == {"scale_0": (7, 8, 4)}
    assert pairs.read()["scale_0"].shape == (2, 7, 8, 4)


def test_a_view_on_another_device_reads_there():
    features = FeatureSet(ARRAYS).to("meta").take([1, 2]).only(("maps",))
    assert features.read()["maps"].device.type == "meta"


def test_an_array_that_is_known_of_the_shown_samples_follows_them():
    features = FeatureSet({"x": np.arange(8, dtype="f4").reshape(4, 2)}, key="x").take([3, 1])
    more = features.including("class", np.array([[5.0], [7.0]], "f4"))
    assert more.read()["class"].tolist() == [[5.0], [7.0]]
    assert more.take([1]).read()["class"].tolist() == [[7.0]]
    assert more.read()["x"].tolist() == features.read()["x"].tolist()
    assert "class" not in features
    others = features.including("class", np.array([[5.0], [8.0]], "f4"))
    assert len({features.fingerprint, more.fingerprint, others.fingerprint}) == 3


def test_an_array_that_is_known_of_samples_of_several_parts_is_each_parts():
    features = FeatureSet({"x": np.zeros((4, 2), "f4")}, rows=np.array([[0, 1], [3, 2]]))
    assert features.including("class", np.array([[5.0], [7.0]], "f4")).read()["class"].tolist() == [[5, 5], [7, 7]]
