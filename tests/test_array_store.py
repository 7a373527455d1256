"""The store of arrays: each made once under its key, never half, shared by whoever reads it."""

import errno
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from endline.array_store import ArrayStore, FeatureRecipe
from endline.errors import EndlineError
from endline.owner import Owner

ARRAYS = {
    "fine": np.random.default_rng(0).standard_normal((5, 2, 3, 4)).astype("f4"),
    "coarse": np.random.default_rng(1).standard_normal((5, 1, 3, 4)).astype("f4"),
    "vector": np.arange(15, dtype="f4").reshape(5, 3),
}
JOINED = {"scale_0": ("fine", "coarse"), "control": ("vector",)}


def recipe(arrays=JOINED, length: int = 5, dtype: str = "float32", made: list | None = None) -> FeatureRecipe:
    def batches(parts):
        if made is not None:
            made.append(sorted(parts))
        for rows in (slice(0, 2), slice(2, 4), slice(4, 5)):
            yield {name: array[rows] for name, array in ARRAYS.items() if name in parts}

    keys = {part: f"key-{part}" for parts in arrays.values() for part in parts}
    return FeatureRecipe(arrays, keys, length, batches, dict.fromkeys(keys, dtype))


def left(folder: Path) -> list[str]:
    names = (path.name for path in folder.iterdir()) if folder.exists() else ()
    return sorted(name for name in names if not name.endswith(".lock"))


def test_made_features_are_what_the_recipe_yields_joined(tmp_path):
    features = ArrayStore(tmp_path / "store").make(recipe())
    assert features.shapes == {"scale_0": (3, 3, 4), "control": (3,)}
    assert features.seconds > 0
    expected = np.concatenate([ARRAYS["fine"], ARRAYS["coarse"]], 1)
    assert torch.equal(features.read()["scale_0"], torch.from_numpy(expected))
    files = [f"key-{part}{suffix}" for part in ARRAYS for suffix in (".json", ".npy")]
    assert left(tmp_path / "store") == sorted(files)


def test_arrays_lie_on_disk_as_asked_and_are_memory_mapped(tmp_path):
    features = ArrayStore(tmp_path).make(recipe(dtype="float16"))
    assert np.load(tmp_path / "key-fine.npy").dtype == np.float16
    assert all(isinstance(array, np.memmap) for joined in features._arrays.values() for array in joined)
    assert features.read([1])["control"].dtype == torch.float32


def test_only_what_is_missing_is_made(tmp_path):
    store, made = ArrayStore(tmp_path), []
    store.make(recipe({"scale_0": ("fine",)}, made=made))
    both = store.make(recipe({"scale_0": ("fine", "coarse")}, made=made))
    again = store.make(recipe({"scale_0": ("coarse",)}, made=made))
    assert made == [["fine"], ["coarse"]]
    assert both.seconds > again.seconds  # two passes made what it reads, one what the other reads
    assert both.key != again.key


def test_an_array_of_its_own_content_is_stored_once(tmp_path):
    store = ArrayStore(tmp_path)
    halves = [ARRAYS["fine"][:2], ARRAYS["fine"][2:]]
    first, second = store.keep("map", halves, 5), store.keep("map", [ARRAYS["fine"]], 5)
    other = store.keep("map", [ARRAYS["fine"] + 1], 5)
    assert first.stored == second.stored != other.stored
    assert len(left(tmp_path)) == 4
    assert torch.equal(second.read()["map"], torch.from_numpy(ARRAYS["fine"]))


def test_maps_of_nothing_can_be_kept(tmp_path):
    features = ArrayStore(tmp_path).keep("map", [np.zeros((3, 0, 0), "f4")], 3)
    assert features.shapes == {"map": (0, 0)}
    assert len(features.read()["map"]) == 3


def test_what_a_dead_process_left_is_removed_and_what_a_living_one_writes_stays(tmp_path):
    dead, living = (
        tmp_path / f".x.{owner}-0a0a0a0a.partial.npy"
        for owner in (replace(Owner.current(), pid=999_999_999), Owner.current())
    )
    dead.touch()
    living.touch()
    ArrayStore(tmp_path).make(recipe())
    assert not dead.exists()
    assert living.exists()


@pytest.mark.parametrize("length", [4, 6])
def test_a_wrong_length_is_reported_and_nothing_kept(tmp_path, length):
    with pytest.raises(EndlineError, match=f"{length} samples were announced and 5 extracted: nothing was kept"):
        ArrayStore(tmp_path).make(recipe(length=length))
    assert not [name for name in left(tmp_path) if name.endswith(".npy")]
    assert not ArrayStore(tmp_path).has("key-fine")


def test_a_failing_recipe_leaves_nothing(tmp_path):
    def batches(parts):
        yield {"fine": ARRAYS["fine"][:2]}
        raise RuntimeError("the backbone is on fire")

    broken = FeatureRecipe({"scale_0": ("fine",)}, {"fine": "k"}, 5, batches, {})
    with pytest.raises(RuntimeError, match="on fire"):
        ArrayStore(tmp_path).make(broken)
    assert left(tmp_path) == []


def test_killed_while_writing_leaves_nothing_that_is_read(tmp_path):
    script = f"""
import os, numpy as np
from pathlib import Path
from endline.array_store import ArrayStore, FeatureRecipe
def batches(parts):
    yield {{"fine": np.ones((2, 3), "f4")}}
    os._exit(9)
recipe = FeatureRecipe({{"scale_0": ("fine",)}}, {{"fine": "key-fine"}}, 5, batches, {{}})
ArrayStore(Path({str(tmp_path)!r})).make(recipe)
"""
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 9
    store, made = ArrayStore(tmp_path), []
    assert left(tmp_path)
    assert not store.has("key-fine")
    store.make(recipe({"scale_0": ("fine",)}, made=made))
    assert made == [["fine"]]
    assert left(tmp_path) == ["key-fine.json", "key-fine.npy"]


def test_a_full_disk_is_reported(tmp_path):
    def batches(parts):
        yield {"fine": ARRAYS["fine"][:2]}
        raise OSError(errno.ENOSPC, "No space left on device")

    full = FeatureRecipe({"scale_0": ("fine",)}, {"fine": "k"}, 5, batches, {})
    with pytest.raises(EndlineError) as caught:
        ArrayStore(tmp_path).make(full)
    words = (
        f"{tmp_path / 'k.npy'} could not be written (No space left on device): free or unlock the disk and run again."
    )
    assert str(caught.value) == words
    assert left(tmp_path) == []


@pytest.mark.parametrize("damage", ["no array", "no note", "cut note", "cut array", "empty array"])
def test_a_damaged_array_is_reported(tmp_path, damage):
    store = ArrayStore(tmp_path)
    stored = store.make(recipe()).stored
    note, array = tmp_path / "key-fine.json", tmp_path / "key-fine.npy"
    {
        "no array": array.unlink,
        "no note": note.unlink,
        "cut note": lambda: note.write_text(note.read_text()[:9]),
        "cut array": lambda: array.write_bytes(array.read_bytes()[:-8]),
        "empty array": lambda: array.write_bytes(b""),
    }[damage]()
    with pytest.raises(
        EndlineError, match=r"The array .*key-fine.npy cannot be read .*: delete the file and run again"
    ):
        store.open(stored)
