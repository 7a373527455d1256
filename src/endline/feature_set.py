"""The feature set: named float arrays whose first axis follows the sample table, kept on disk, read in batches."""

import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from endline.errors import EndlineError
from endline.files import content_key, locked

Batch = dict[str, Tensor]
Rows = Sequence[int] | NDArray[np.int64]


class FeatureSet:
    """Arrays of n samples, read in batches; memory stays bounded by the batch.

    Args:
        arrays: name -> array (n, ...), float16 or float32, in memory or memory-mapped.
        key: content key of the whole set.
        seconds: time its extraction took, when it was extracted.
        rows: the samples that this view shows, in this order; all by default. Rows (n, parts) show n samples that
            are each joined from so many: maps one below the other, vectors one after the other.
        device: that tensors are read onto.

    Raises:
        EndlineError: when there is no array or the arrays differ in their number of samples.
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any]],
        *,
        key: str = "",
        seconds: float = 0.0,
        rows: Rows | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        lengths = {name: len(array) for name, array in arrays.items()}
        if len(set(lengths.values())) != 1:
            raise EndlineError(f"A feature set needs arrays of one length, got {lengths}: extract it again.")
        self._arrays = dict(arrays)
        self.key = key
        self.seconds = seconds
        self.device = torch.device(device)
        self.rows = np.arange(next(iter(lengths.values()))) if rows is None else np.asarray(rows, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"FeatureSet({len(self)} samples, {self.shapes}, key={self.key[:8]})"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one sample, by array name."""
        parts = self.rows.shape[1] if self.rows.ndim == 2 else 1
        sizes = {name: list(array.shape[1:]) for name, array in self._arrays.items()}
        for size in sizes.values():
            size[-2 if len(size) > 1 else -1] *= parts
        return {name: tuple(size) for name, size in sizes.items()}

    @property
    def fingerprint(self) -> str:
        """Digest of what this view shows: the set's key and the rows."""
        return content_key(self.key, self.rows.tolist())

    def take(self, rows: Rows) -> "FeatureSet":
        """View of some samples, `rows` counted within this view."""
        return self._view(rows=self.rows[np.asarray(rows)])

    def to(self, device: torch.device | str) -> "FeatureSet":
        """View whose tensors are read onto a device."""
        return self._view(device=device)

    def only(self, required: Sequence[str], optional: Sequence[str] = ()) -> "FeatureSet":
        """View of the arrays of some names; `scale` stands for `scale_0`, `scale_1`, ...

        Args:
            required: each must be there.
            optional: taken where they are.

        Raises:
            EndlineError: when a required array is not there.
        """
        available = {_stem(name) for name in self._arrays}
        if missing := [name for name in required if name not in available]:
            raise EndlineError(
                f"The feature set holds {', '.join(sorted(available))} and no {missing[0]}: extract the features that "
                "the detector reads (the station does so by itself when the detector is chosen by its name)."
            )
        wanted = {*required, *optional}
        return self._view({name: array for name, array in self._arrays.items() if _stem(name) in wanted})

    def _view(self, arrays: Mapping[str, NDArray[Any]] | None = None, **changes: Any) -> "FeatureSet":
        same = {"key": self.key, "seconds": self.seconds, "rows": self.rows, "device": self.device}
        return FeatureSet(self._arrays if arrays is None else arrays, **{**same, **changes})

    def read(self, rows: Rows | None = None) -> Batch:
        """Samples as float32 tensors (rows, ...); all of the view by default."""
        chosen = self.rows if rows is None else self.rows[np.asarray(rows)]
        if chosen.ndim == 1:
            return {name: self._tensor(array[chosen]) for name, array in self._arrays.items()}
        parts = [{name: self._tensor(array[column]) for name, array in self._arrays.items()} for column in chosen.T]
        return {
            name: torch.cat([part[name] for part in parts], -2 if parts[0][name].ndim > 2 else -1)
            for name in self._arrays
        }

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        return torch.from_numpy(values).to(self.device).float()

    def batches(self, size: int, order: Rows | None = None) -> Iterator[Batch]:
        """Batches of at most `size` samples, in the view's order or in `order`."""
        order = np.arange(len(self)) if order is None else np.asarray(order)
        for start in range(0, len(order), size):
            yield self.read(order[start : start + size])


def _stem(name: str) -> str:
    """`scale` of `scale_0`."""
    stem, _, number = name.rpartition("_")
    return stem if number.isdecimal() else name


@dataclass(frozen=True)
class FeatureRecipe:
    """A feature set that may not exist yet: its content key, and how to make it.

    Attributes:
        key: content key; a set with this key on disk is taken instead of being made.
        length: number of samples.
        batches: makes the arrays, name -> (batch, ...), batch after batch in the sample table's order.
        dtype: how they are stored.
    """

    key: str
    length: int
    batches: Callable[[], Iterator[Mapping[str, NDArray[Any]]]]
    dtype: str = "float16"


def open_features(folder: Path) -> FeatureSet:
    """Feature set of a finished folder, memory-mapped.

    Raises:
        EndlineError: when the folder is missing or incomplete.
    """
    try:
        about = json.loads((folder / "features.json").read_text())
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in about["arrays"]}
    except (OSError, EOFError, ValueError, KeyError) as error:
        raise EndlineError(
            f"The feature set {folder} cannot be read ({error}): delete the folder and run again."
        ) from error
    return FeatureSet(arrays, key=about["key"], seconds=about["seconds"])


def make_features(recipe: FeatureRecipe, store: Path) -> FeatureSet:
    """Feature set of the recipe: found in `store` by its key, or made and written there once.

    A folder appears under its final name only when it is whole; a killed run leaves a `.partial` folder
    that nothing reads and the next extraction removes.

    Raises:
        EndlineError: when the disk is full or read-only, or the recipe makes another number of samples.
    """
    folder = store / recipe.key
    if not (folder / "features.json").exists():
        _make(recipe, folder)
    return open_features(folder)


def _make(recipe: FeatureRecipe, folder: Path) -> None:
    store = folder.parent
    partial = store / f"{recipe.key}-{uuid4().hex[:8]}.partial"
    try:
        with locked(store / f".{recipe.key}.lock"):
            if (folder / "features.json").exists():
                return  # another run wanted the same at the same time
            for stale in store.glob(f"{recipe.key}-*.partial"):
                shutil.rmtree(stale, ignore_errors=True)
            partial.mkdir()
            _write(recipe, partial)
            os.replace(partial, folder)
    except OSError as error:
        raise EndlineError(
            f"The features could not be written to {store} ({error.strerror or error}): "
            "free or unlock the disk, or choose another folder for them in conf/base/catalog.yml."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _write(recipe: FeatureRecipe, folder: Path) -> None:
    # Sequential writes, not a writable memory map: a full disk then raises instead of killing the process.
    start, count = time.perf_counter(), 0
    files: dict[str, Any] = {}
    with ExitStack() as opened:  # on a full disk closing fails too, and the other files must be closed all the same
        for batch in recipe.batches():
            for name, array in batch.items():
                if name not in files:
                    files[name] = opened.enter_context((folder / f"{name}.npy").open("wb"))
                    shape = (recipe.length, *array.shape[1:])
                    description = np.lib.format.dtype_to_descr(np.dtype(recipe.dtype))
                    header = {"descr": description, "fortran_order": False, "shape": shape}
                    np.lib.format.write_array_header_1_0(files[name], header)
                files[name].write(np.ascontiguousarray(array, dtype=recipe.dtype).tobytes())
            count += len(next(iter(batch.values())))
    if count != recipe.length:
        raise EndlineError(f"{recipe.length} samples were announced and {count} extracted: nothing was kept.")
    about = {"key": recipe.key, "arrays": sorted(files), "seconds": time.perf_counter() - start}
    (folder / "features.json").write_text(json.dumps(about))
