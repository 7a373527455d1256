"""Feature sets on disk: made once a content key, read in batches, never half."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from endline.errors import EndlineError
from endline.feature_set import FeatureRecipe, FeatureSet, make_features, open_features
from endline.files import content_key

KEY = content_key("a", 1)
ARRAYS = {
    "maps": np.random.default_rng(0).standard_normal((5, 2, 3, 4)).astype("f4"),
    "vector": np.arange(15, dtype="f4").reshape(5, 3),
}


def recipe(key: str = KEY, length: int = 5, dtype: str = "float32", calls: list | None = None) -> FeatureRecipe:
    def batches():
        if calls is not None:
            calls.append(1)
        for rows in (slice(0, 2), slice(2, 4), slice(4, 5)):
            yield {name: array[rows] for name, array in ARRAYS.items()}

    return FeatureRecipe(key, length, batches, dtype)


def left(store: Path) -> list[str]:
    return sorted(path.name for path in store.iterdir()) if store.exists() else []


def same(batch: dict[str, torch.Tensor], rows: list[int]) -> bool:
    return set(batch) == set(ARRAYS) and all(
        torch.equal(batch[name], torch.from_numpy(array[rows])) for name, array in ARRAYS.items()
    )


def test_content_key_follows_the_content_alone():
    assert content_key({"a": 1, "b": [1, 2]}) == content_key({"b": [1, 2], "a": 1})
    keys = {content_key(*parts) for parts in [(1,), ("1",), (1, None), ([1],), ({"a": 1},), ({"a": 2},), (1.5,)]}
    assert len(keys) == 7
    assert all(len(key) == 32 and int(key, 16) >= 0 for key in keys)


def test_made_features_are_what_the_recipe_yields(tmp_path):
    features = make_features(recipe(), tmp_path / "store")
    assert len(features) == 5
    assert features.shapes == {"maps": (2, 3, 4), "vector": (3,)}
    assert features.key == KEY
    assert features.seconds > 0
    assert same(features.read(), [0, 1, 2, 3, 4])
    assert left(tmp_path / "store") == [KEY]


def test_features_lie_on_disk_as_asked_and_are_read_as_float32(tmp_path):
    features = make_features(recipe(dtype="float16"), tmp_path)
    assert np.load(tmp_path / KEY / "maps.npy").dtype == np.float16
    batch = features.read([1])
    assert batch["maps"].dtype == torch.float32
    np.testing.assert_array_equal(batch["maps"].numpy(), ARRAYS["maps"][[1]].astype("f2").astype("f4"))


def test_arrays_are_memory_mapped(tmp_path):
    features = make_features(recipe(), tmp_path)
    assert all(isinstance(array, np.memmap) for array in features._arrays.values())


def test_the_same_key_is_not_made_again(tmp_path):
    calls: list = []
    first = make_features(recipe(calls=calls), tmp_path)
    second = make_features(recipe(calls=calls), tmp_path)
    assert len(calls) == 1
    assert second.seconds == first.seconds
    make_features(recipe(content_key("other"), calls=calls), tmp_path)
    assert len(calls) == 2


def test_a_partial_folder_is_ignored_and_removed(tmp_path):
    stale = tmp_path / f"{KEY}-0a0a0a0a.partial"
    stale.mkdir()
    (stale / "features.json").write_text(json.dumps({"key": KEY, "arrays": ["maps"], "seconds": 1}))
    other = tmp_path / "ffff-0a0a0a0a.partial"  # perhaps another run is just writing it
    other.mkdir()
    assert same(make_features(recipe(), tmp_path).read(), [0, 1, 2, 3, 4])
    assert left(tmp_path) == sorted([KEY, other.name])


@pytest.mark.parametrize("length", [4, 6])
def test_a_wrong_length_is_told_and_nothing_kept(tmp_path, length):
    with pytest.raises(EndlineError, match=f"{length} samples were announced and 5 extracted: nothing was kept"):
        make_features(recipe(length=length), tmp_path)
    assert left(tmp_path) == []


def test_a_failing_recipe_leaves_nothing(tmp_path):
    def batches():
        yield {"maps": ARRAYS["maps"][:2]}
        raise RuntimeError("the backbone is on fire")

    with pytest.raises(RuntimeError, match="on fire"):
        make_features(FeatureRecipe(KEY, 5, batches), tmp_path)
    assert left(tmp_path) == []


def test_killed_while_writing_leaves_nothing_that_is_read(tmp_path):
    script = f"""
import os, numpy as np
from pathlib import Path
from endline.feature_set import FeatureRecipe, make_features
def batches():
    yield {{"maps": np.ones((2, 3), "f4")}}
    os._exit(9)
make_features(FeatureRecipe({KEY!r}, 5, batches), Path({str(tmp_path)!r}))
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    assert [name.split("-")[0] for name in left(tmp_path)] == [KEY]
    assert not (tmp_path / KEY).exists()
    with pytest.raises(EndlineError, match="cannot be read"):
        open_features(tmp_path / KEY)
    calls: list = []
    assert same(make_features(recipe(calls=calls), tmp_path).read(), [0, 1, 2, 3, 4])
    assert calls
    assert left(tmp_path) == [KEY]


def test_a_full_disk_is_told(tmp_path):
    def batches():
        yield {"maps": ARRAYS["maps"][:2]}
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(EndlineError) as caught:
        make_features(FeatureRecipe(KEY, 5, batches), tmp_path / "store")
    assert str(caught.value) == (
        f"The features could not be written to {tmp_path / 'store'} (No space left on device): free or unlock the "
        "disk, or choose another folder for them in conf/base/catalog.yml."
    )
    assert left(tmp_path / "store") == []


@pytest.mark.parametrize("damage", ["no folder", "no about", "cut about", "no array", "cut array", "empty array"])
def test_a_damaged_folder_is_told(tmp_path, damage):
    folder = tmp_path / KEY
    if damage != "no folder":
        make_features(recipe(), tmp_path)
    about, array = folder / "features.json", folder / "maps.npy"
    {
        "no folder": lambda: None,
        "no about": lambda: about.unlink(),
        "cut about": lambda: about.write_text(about.read_text()[:9]),
        "no array": lambda: array.unlink(),
        "cut array": lambda: array.write_bytes(array.read_bytes()[:-8]),
        "empty array": lambda: array.write_bytes(b""),
    }[damage]()
    with pytest.raises(EndlineError, match=rf"The feature set .*{KEY} cannot be read .*: delete the folder and run"):
        open_features(folder)


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


def test_a_batch_is_a_copy(tmp_path):
    features = make_features(recipe(), tmp_path)
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
