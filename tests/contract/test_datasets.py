"""The contract of every catalog entry: versioned, written whole or not at all, disk errors told in a sentence."""

import errno
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from kedro.io import DataCatalog, DatasetError
from kedro.io.core import generate_timestamp

from endline.array_store import ArrayStore, FeatureRecipe
from endline.datasets.atomic import AtomicDataset
from endline.detectors.progress import Progress
from endline.detectors.registry import build_detector
from endline.errors import EndlineError
from endline.evaluation.calibration import Calibration
from endline.evidence.cycles.features import CyclePreparation
from endline.feature_set import FeatureSet
from endline.published import PublishedModel

CATALOG = Path(__file__).parents[2] / "conf/base/catalog.yml"
FIRST, SECOND = "2026-01-01T00.00.00.000Z", "2026-01-02T00.00.00.000Z"


def frame(seed: int, rows: int):
    return pd.DataFrame(np.random.default_rng(seed).standard_normal((rows, 4)), columns=list("abcd"))


def numbers(seed: int, count: int):
    return {"values": np.random.default_rng(seed).standard_normal(count).tolist()}


def page(seed: int, length: int):
    return np.random.default_rng(seed).bytes(length // 2).hex()


def detectors(seed: int, size: int):
    rng = np.random.default_rng(seed)
    arrays = FeatureSet({"scale_0": rng.standard_normal((8, size, 2, 2)).astype("f4")}, key=f"{seed} {size}")
    settings = {"gaussian": {"type": "endline.detectors.pooled.gaussian.Gaussian", "shrinkage": 0.1 + 0.1 * seed}}
    made = {}
    for part in ("fold", "unfold"):
        made[f"{part}/0"] = build_detector("gaussian", settings)
        made[f"{part}/0"].fit(arrays, seed=seed, progress=Progress())
    return made


def preparation(seed: int, size: int):
    return CyclePreparation(tuple(f"signal {seed} {number}" for number in range(size)), length=10, rate=50.0)


def model(seed: int, size: int):
    calibration = Calibration(("fold", "unfold"), ((0.1, 0.1), (0.2, 0.2)), (0, 0), (0, 1), 0.5)
    return PublishedModel("robot_cycle", FIRST, detectors(seed, size), preparation(seed, 3), calibration)


def pictures(seed: int, size: int):
    return {f"{name}.png": np.random.default_rng(seed).bytes(size) for name in ("roc", "scores")}


# dataset of the catalog -> (makes data from a seed and a size, small size, size that fills more than 1 MB)
KINDS = {
    "scores": (frame, 5, 60_000),
    "calibration": (numbers, 5, 90_000),
    "report": (page, 100, 2_000_000),
    "figures": (pictures, 100, 600_000),
    "detectors": (detectors, 3, 600),
    "preparation": (preparation, 3, 90_000),
    "model": (model, 3, 600),
}


def same(kind: str, loaded, data) -> bool:
    if kind == "scores":
        return loaded.equals(data)
    if kind == "detectors":
        return set(loaded) == set(data) and all(
            loaded[name].config == data[name].config
            and all(torch.equal(a, b) for a, b in zip(
                loaded[name].model.state_dict().values(), data[name].model.state_dict().values(), strict=True
            ))
            for name in data
        )  # fmt: skip
    if kind == "model":
        whole = (loaded.preparation, loaded.calibration, loaded.run) == (data.preparation, data.calibration, loaded.run)
        return whole and same("detectors", loaded.detectors, data.detectors)
    return loaded == data


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


def catalog(folder: Path, version: str | None = None) -> DataCatalog:
    """The project's own catalog, its paths below `folder`."""
    text = CATALOG.read_text().replace("data/", f"{folder}/data/")
    return DataCatalog.from_config(yaml.safe_load(text), save_version=version or generate_timestamp())


def named(kind: str) -> str:
    return f"mirror_audio.{kind}"


def make(kind: str, seed: int = 0, large: bool = False):
    maker, small, big = KINDS[kind]
    return maker(seed, big if large else small)


def files(folder: Path, kind: str) -> list[str]:
    """What lies in the folder, but for the stores of whole arrays."""
    found = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if "/store/" not in path)


def sentence(caught: pytest.ExceptionInfo) -> str:
    """The words of the EndlineError behind an exception of Kedro's: what the command line prints."""
    cause = caught.value
    while cause is not None and not isinstance(cause, EndlineError):
        cause = cause.__cause__
    return str(cause)


def test_every_entry_of_the_catalog_is_versioned_and_atomic():
    entries = {name: entry for name, entry in yaml.safe_load(CATALOG.read_text()).items() if not name.startswith("_")}
    assert entries
    for name, entry in entries.items():
        assert entry["type"] == "endline.datasets.atomic.AtomicDataset", name
        assert entry["versioned"] is True, name
        assert "{station}" in entry["filepath"], name


def test_what_was_saved_is_loaded(tmp_path, kind):
    data = make(kind)
    catalog(tmp_path, FIRST).save(named(kind), data)
    assert same(kind, catalog(tmp_path).load(named(kind)), data)
    assert all(FIRST in name for name in files(tmp_path, kind))
    assert not any("partial" in name for name in files(tmp_path, kind))


def test_the_newest_version_is_loaded_and_an_older_one_when_asked(tmp_path, kind):
    old, new = make(kind, 0), make(kind, 1)
    catalog(tmp_path, FIRST).save(named(kind), old)
    catalog(tmp_path, SECOND).save(named(kind), new)
    assert same(kind, catalog(tmp_path).load(named(kind)), new)
    text = CATALOG.read_text().replace("data/", f"{tmp_path}/data/")
    asked = DataCatalog.from_config(yaml.safe_load(text), load_versions={named(kind): FIRST})
    assert same(kind, asked.load(named(kind)), old)


def test_a_version_is_never_written_twice(tmp_path, kind):
    catalog(tmp_path, FIRST).save(named(kind), make(kind))
    with pytest.raises(DatasetError, match="must not exist"):
        catalog(tmp_path, FIRST).save(named(kind), make(kind, 1))
    assert same(kind, catalog(tmp_path).load(named(kind)), make(kind))


def test_exists_only_once_it_is_saved(tmp_path, kind):
    assert not catalog(tmp_path, FIRST).exists(named(kind))
    catalog(tmp_path, FIRST).save(named(kind), make(kind))
    assert catalog(tmp_path).exists(named(kind))


class Dying:
    """Stands for a wrapped dataset whose save writes something and fails."""

    def __init__(self, path: Path, error: BaseException) -> None:
        self.path, self.error = path, error

    def save(self, data) -> None:
        if self.path.suffix:
            self.path.write_bytes(b"half")
        else:
            self.path.mkdir()
            (self.path / "half").write_bytes(b"half")
        raise self.error


def dies(monkeypatch, error: BaseException) -> None:
    monkeypatch.setattr(AtomicDataset, "_wrapped", lambda self, path: Dying(path, error))


def test_a_save_that_fails_leaves_no_file_and_the_older_version(tmp_path, kind, monkeypatch):
    catalog(tmp_path, FIRST).save(named(kind), make(kind))
    before = files(tmp_path, kind)
    with monkeypatch.context() as patched:
        dies(patched, ZeroDivisionError("in the middle"))
        with pytest.raises(DatasetError, match="in the middle"):
            catalog(tmp_path, SECOND).save(named(kind), make(kind, 1))
    assert files(tmp_path, kind) == before
    assert same(kind, catalog(tmp_path).load(named(kind)), make(kind))


def test_an_interrupted_save_leaves_no_file_and_the_older_version(tmp_path, kind, monkeypatch):
    catalog(tmp_path, FIRST).save(named(kind), make(kind))
    before = files(tmp_path, kind)
    with monkeypatch.context() as patched:
        dies(patched, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            catalog(tmp_path, SECOND).save(named(kind), make(kind, 1))
    assert files(tmp_path, kind) == before
    assert same(kind, catalog(tmp_path).load(named(kind)), make(kind))


def test_what_a_killed_save_leaves_is_never_loaded(tmp_path, kind, monkeypatch):
    """A kill gives no time to clean up: the partial name stays, and must not be taken for a version."""
    catalog(tmp_path, FIRST).save(named(kind), make(kind))
    entry = catalog(tmp_path, SECOND).get(named(kind))
    path = Path(entry._get_save_path())
    path.parent.mkdir(parents=True)
    with pytest.raises(KeyError):
        Dying(path.with_name(f".0a0a0a0a.partial{path.suffix}"), KeyError()).save(None)
    assert same(kind, catalog(tmp_path).load(named(kind)), make(kind))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EACCES])
@pytest.mark.parametrize("wrapped", [False, True])
def test_disk_errors_are_told_in_a_sentence(tmp_path, kind, monkeypatch, number, wrapped):
    error: Exception = OSError(number, "the reason")
    if wrapped:
        outer = DatasetError("Failed while saving data to dataset")
        outer.__cause__ = error
        error = outer
    dies(monkeypatch, error)
    with pytest.raises(DatasetError) as caught:
        catalog(tmp_path, FIRST).save(named(kind), make(kind))
    said = sentence(caught)
    assert said.endswith("could not be written (the reason): free or unlock the disk and run again.")
    assert FIRST in said
    assert files(tmp_path, kind) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 1 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", disk], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"mounting a small disk is not permitted here ({made.stderr.strip()})")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)  # a traceback may still hold a mapped file


def test_a_really_full_disk(small_disk, kind):
    catalog(small_disk, FIRST).save(named(kind), make(kind))
    with pytest.raises(DatasetError) as caught:
        catalog(small_disk, SECOND).save(named(kind), make(kind, 1, large=True))
    assert "could not be written" in sentence(caught)
    assert "free or unlock the disk" in sentence(caught)
    assert same(kind, catalog(small_disk).load(named(kind)), make(kind))
    assert not any(SECOND in name for name in files(small_disk, kind))
    catalog(small_disk).save(named(kind), make(kind, 2))  # the room is free again
    assert same(kind, catalog(small_disk).load(named(kind)), make(kind, 2))


def test_a_really_read_only_disk(small_disk, kind):
    catalog(small_disk, FIRST).save(named(kind), make(kind))
    subprocess.run(["mount", "-o", "remount,ro", small_disk], check=True)
    with pytest.raises(DatasetError) as caught:
        catalog(small_disk, SECOND).save(named(kind), make(kind, 1))
    assert "Read-only file system" in sentence(caught)
    assert same(kind, catalog(small_disk).load(named(kind)), make(kind))


def test_the_store_of_arrays_may_fill_the_disk(small_disk):
    rng = np.random.default_rng(0)
    keys = {name: name for name in "abc"}
    batch = {name: rng.standard_normal((4, 9000)).astype("f4") for name in keys}
    recipe = FeatureRecipe(
        {name: (name,) for name in keys}, keys, 40, lambda parts: iter([batch] * 10), dict.fromkeys(keys, "float32")
    )
    with pytest.raises(EndlineError, match=r"\.npy could not be written \(No space left on device\): free or unlock"):
        ArrayStore(small_disk / "store").make(recipe)
    assert not [path for path in (small_disk / "store").iterdir() if "npy" in path.name]


def test_a_checkpoint_on_a_full_disk_is_told_and_the_old_one_stays(small_disk):
    file = small_disk / "stage" / "fold.safetensors"
    progress = Progress(file)
    progress.keep("fit", {"a": torch.ones(4)}, [1.0])
    with pytest.raises(EndlineError, match=r"fold\.\w+\.safetensors could not be written .*free or unlock"):
        progress.keep("fit", {"a": torch.ones(1_000_000)}, [1.0, 0.5])
    state, losses = progress.kept("fit")
    assert losses == [1.0]
    assert torch.equal(state["a"], torch.ones(4))


def test_an_empty_frame_and_an_empty_map_are_kept(tmp_path):
    catalog(tmp_path, FIRST).save("mirror_audio.history", pd.DataFrame(columns=["part", "member", "epoch", "loss"]))
    loaded = catalog(tmp_path).load("mirror_audio.history")
    assert loaded.empty
    assert loaded.columns.tolist() == ["part", "member", "epoch", "loss"]


def test_a_feature_set_is_a_pointer_into_the_store(tmp_path):
    entries = yaml.safe_load(CATALOG.read_text())
    stores = {entries[f"{{station}}.{name}"]["dataset"]["store"] for name in ("features", "maps", "masks")}
    assert stores == {"data/04_feature/store"}  # the parameter `run.store` of every station
    store = ArrayStore(tmp_path / stores.pop())
    for version, array in ((FIRST, np.ones((3, 2, 2), "f4")), (SECOND, np.zeros((3, 0, 0), "f4"))):
        catalog(tmp_path, version).save("mirror_audio.maps", store.keep("map", [array], 3))
    assert catalog(tmp_path).load("mirror_audio.maps").read()["map"].shape == (3, 0, 0)
    with pytest.raises(DatasetError) as caught:
        catalog(tmp_path).save("mirror_audio.maps", FeatureSet({"map": np.ones((3, 1, 1), "f4")}))
    assert "does not lie in the store" in sentence(caught)


def test_a_damaged_model_is_reported(tmp_path):
    folder = tmp_path / "model"
    model(0, 3).save(folder)
    (folder / "preparation.json").write_text("{")
    with pytest.raises(EndlineError, match=r"The preparation .*n.json cannot be read .*: run the station again"):
        PublishedModel.load(folder)
    (folder / "model.json").unlink()
    with pytest.raises(EndlineError, match=r"The model in .* cannot be read .*: run the station again"):
        PublishedModel.load(folder)
