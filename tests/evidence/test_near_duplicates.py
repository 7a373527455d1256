"""Tested samples that look as ones that trained, for any kind of evidence by its looks."""

import os
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageFilter

from endline.errors import EndlineError
from endline.evidence import near_duplicates as module
from endline.evidence.images.index import index_images
from endline.evidence.images.looks import look_of
from endline.evidence.near_duplicates import look_hash, near_duplicates

DATA = Path(os.environ.get("ENDLINE_DATA") or Path(__file__).parents[2] / "../shared/data")


def table(looks: dict[str, np.ndarray], tested: str, part: str | None = None) -> pd.DataFrame:
    """Samples by the names of their looks; those in `tested` are tested."""
    split = ["test" if name in tested else "train" for name in looks]
    hashes = [look_hash(look) for look in looks.values()]
    return pd.DataFrame({"sample_id": list(looks), "group": "g", "part": part, "split": split, "look_hash": hashes})


def texture(seed: int, size: tuple[int, int] = (120, 160)) -> np.ndarray:
    rough = np.random.default_rng(seed).integers(0, 256, (12, 16), dtype="u1")
    return np.array(Image.fromarray(rough).resize(size[::-1], Image.Resampling.BICUBIC))


def test_pairs_across_the_split_alone_the_nearest_first():
    rng = np.random.default_rng(0)
    looks = {name: rng.standard_normal(64) for name in "abcdefgh"}
    looks["B"] = looks["b"] + 0.05 * rng.standard_normal(64)  # looks as b, and as each other
    looks["C"] = 3 * looks["c"] - 7
    looks["D"] = looks["d"].copy()
    pairs = near_duplicates(table(looks, tested="BCd"))
    assert pairs[["training", "tested"]].to_numpy().tolist() == [["c", "C"], ["D", "d"], ["b", "B"]]
    assert pairs["distance"].tolist()[:2] == [0, 0]
    assert 0 < pairs["distance"].iloc[2] < 0.02


def test_a_camera_that_stands_still_does_not_make_all_parts_the_same():
    rng = np.random.default_rng(0)
    scene = 30 * rng.standard_normal(64)
    looks = {f"{number}": scene + rng.standard_normal(64) for number in range(30)}
    looks["again"] = looks["3"] + 0.02 * rng.standard_normal(64)
    vectors = np.array(list(looks.values()))
    assert np.corrcoef(vectors).min() > 0.99
    pairs = near_duplicates(table(looks, tested=" again 28 29 "))
    assert ("3", "again") in set(zip(pairs["training"], pairs["tested"], strict=True))
    assert set(pairs["tested"]) == {"again"}


def test_blank_looks_are_near_to_nothing_and_missing_ones_are_left_out():
    looks = {"a": np.full(8, 0.1), "b": np.full(8, 0.1), "c": np.arange(8.0), "d": np.arange(8.0)}
    samples = table(looks, tested="bd")
    assert near_duplicates(samples)[["training", "tested"]].to_numpy().tolist() == [["c", "d"]]
    samples.loc[samples["sample_id"] == "c", "look_hash"] = None
    empty = near_duplicates(samples)
    assert empty.empty
    assert list(empty.columns) == ["training", "tested", "distance"]


def test_groups_and_parts_are_compared_within_themselves():
    look = np.random.default_rng(0).standard_normal(16)
    fold, unfold = table({"a": look}, "", part="fold"), table({"b": look[:8]}, "b", part="unfold")
    assert near_duplicates(pd.concat([fold, unfold])).empty
    with pytest.raises(EndlineError) as caught:
        near_duplicates(pd.concat([fold, unfold]).assign(part=None))
    assert str(caught.value) == ("The look of b has 8 numbers and that of a 16: index both in one run of one version.")


def test_no_more_than_the_nearest_pairs_of_a_sample(monkeypatch):
    rng = np.random.default_rng(0)
    look = rng.standard_normal(64)
    looks = {f"t{number}": look + 0.001 * number * rng.standard_normal(64) for number in range(20)}
    looks |= {"x": look, "y": rng.standard_normal(64)}
    pairs = near_duplicates(table(looks, tested="xy"), largest=2, most=3)
    assert pairs.groupby("tested").size().to_dict() == {"x": 3, "y": 3}
    assert pairs["training"].iloc[0] == "t0"
    monkeypatch.setattr(module, "BLOCK", 1)  # one tested sample at a time
    blocks = near_duplicates(table(looks, tested="xy"), largest=2, most=3)
    pd.testing.assert_frame_equal(blocks, pairs, atol=1e-5)


def test_ten_thousand_samples_take_seconds():
    rng = np.random.default_rng(0)
    looks = rng.integers(-127, 128, (10_000, 256), dtype=np.int8)
    looks[9_000:9_005] = looks[:5]
    hashes = [look.tobytes().hex() for look in looks]
    names = [f"{number}" for number in range(10_000)]
    split = ["train"] * 7_000 + ["test"] * 3_000
    samples = pd.DataFrame({"sample_id": names, "group": "g", "part": None, "split": split, "look_hash": hashes})
    started = time.perf_counter()
    pairs = near_duplicates(samples)
    assert time.perf_counter() - started < 20  # 1 s on two idle cores
    assert set(zip(pairs["training"], pairs["tested"], strict=True)) == {(f"{n}", f"{9_000 + n}") for n in range(5)}


def test_a_photograph_taken_again_brighter_smaller_or_as_jpeg_looks_the_same(tmp_path):
    original = texture(0)
    Image.fromarray(original).save(tmp_path / "a.jpg", quality=60)
    again = {
        "jpeg": np.array(Image.open(tmp_path / "a.jpg")),
        "brighter": (original * 0.5 + 100).astype("u1"),
        "smaller": np.array(Image.fromarray(original).resize((80, 60))),
        "softer": np.array(Image.fromarray(original).filter(ImageFilter.GaussianBlur(1))),
        "deep": original.astype("u2") * 16,
        "colour": np.repeat(original[..., None], 3, axis=2),
    }
    rows = [("a", "train", original)] + [(f"{n}", "train", texture(n)) for n in range(1, 20)]
    rows += [(name, "test", values) for name, values in again.items()] + [("other", "test", texture(99))]
    samples = pd.DataFrame(
        {
            "sample_id": [name for name, _, _ in rows],
            "group": "g",
            "part": None,
            "split": [split for _, split, _ in rows],
            "look_hash": [look_of(values) for _, _, values in rows],
        }
    )
    pairs = near_duplicates(samples)
    assert set(zip(pairs["training"], pairs["tested"], strict=True)) == {("a", name) for name in again}


@pytest.mark.skipif(not (DATA / "kolektor").is_dir(), reason="no kolektor: name the folder above it in ENDLINE_DATA")
def test_the_copies_among_real_commutators():
    """16 are copies to the last pixel, which the index leaves out; eight more show one part again, and nothing else."""
    found = index_images(DATA / "kolektor", group=None, simulated=False)
    assert found.rejected["reason"].str.startswith("the same image as").sum() == 16
    samples = found.samples.sort_values("path").reset_index(drop=True)
    number = samples["path"].str.extract(r"(\d+)\.jpg$")[0].astype(int)
    samples["split"] = np.where(number >= 239, "test", "train")
    pairs = near_duplicates(samples)
    assert len(pairs) == 8
