"""The store of arrays on disk: each lies there once under its content key, whoever reads it."""

import hashlib
import json
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from endline.errors import EndlineError
from endline.feature_set import FeatureSet
from endline.files import clear_partials, content_key, locked, whole, write_whole

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class FeatureRecipe:
    """A feature set of which some arrays, or all, may not be made yet.

    Attributes:
        arrays: name -> the stored parts that it is joined of, over the channels.
        keys: part -> its content key: what it is made of, and how.
        length: number of samples.
        batches: makes the parts that it is asked for, name -> (batch, ...), batch after batch in the sample table's
            order; each raw file is read once, however many parts are asked for.
        dtypes: how parts are stored, float16 where nothing else is said.

    Example:
        >>> recipe = FeatureRecipe({"views": ("view_0",)}, {"view_0": "abc"}, 3, lambda parts: iter([]), {})
        >>> recipe.keys["view_0"]
        'abc'
    """

    arrays: Mapping[str, tuple[str, ...]]
    keys: Mapping[str, str]
    length: int
    batches: Callable[[Collection[str]], Iterator[Arrays]]
    dtypes: Mapping[str, str]


class ArrayStore:
    """A folder of arrays, `<key>.npy`, each beside a note of the seconds that making it took.

    An array appears under its final name only when it is whole; what a killed process left half-written is removed
    before the next array is made. Several processes may use one store: the last one to make an array puts an equal one
    in its place.

    Args:
        folder: of the arrays.

    Example:
        >>> import tempfile
        >>> store = ArrayStore(Path(tempfile.mkdtemp()))
        >>> ones = np.ones((3, 2, 4), "f4")
        >>> recipe = FeatureRecipe({"scale_0": ("fine",)}, {"fine": "abc"}, 3, lambda parts: iter([{"fine": ones}]), {})
        >>> store.make(recipe).shapes
        {'scale_0': (2, 4)}
        >>> store.has("abc")
        True
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def has(self, key: str) -> bool:
        """Whether the array of this key lies in the store."""
        return self._array(key).exists() and self._note(key).exists()

    def open(self, stored: Mapping[str, Sequence[str]]) -> FeatureSet:
        """Feature set of arrays that lie in the store, memory-mapped.

        Args:
            stored: name -> keys of the arrays that are joined over the channels.

        Raises:
            EndlineError: when one is missing or damaged.
        """
        notes = {key: self._seconds(key) for keys in stored.values() for key in keys}
        passes = dict(notes.values())
        arrays = {name: [self._opened(key) for key in keys] for name, keys in stored.items()}
        key = content_key({name: list(keys) for name, keys in stored.items()})
        return FeatureSet(arrays, key=key, seconds=sum(passes.values()), stored=stored)

    def make(self, recipe: FeatureRecipe) -> FeatureSet:
        """Feature set of a recipe; only the arrays that are not in the store yet are made, in one pass.

        Raises:
            EndlineError: when the disk is full or read-only, or the recipe makes another number of samples.
        """

        def missing() -> set[str]:
            return {part for part, key in recipe.keys.items() if not self.has(key)}

        if missing():
            with locked(self.folder / f".{content_key(recipe.keys)}.lock"):
                # Another run may have wanted the same at the same time, and made it.
                if parts := missing():
                    self._write(recipe, parts)
        return self.open({name: [recipe.keys[part] for part in parts] for name, parts in recipe.arrays.items()})

    def keep(self, name: str, batches: Iterable[NDArray[Any]], length: int, dtype: str = "float32") -> FeatureSet:
        """Feature set of one array that is keyed by its content, written as it is made.

        Args:
            name: of the array.
            batches: (batch, ...), all of one shape but for the first axis.
            length: number of samples.
            dtype: how it is stored.
        """
        scratch, digest = f"{name}-{uuid4().hex[:8]}", hashlib.sha256(f"{length} {dtype}".encode())

        def hashed(_: Collection[str]) -> Iterator[Arrays]:
            shape: tuple[int, ...] | None = None
            for batch in batches:
                values = np.ascontiguousarray(batch, dtype=dtype)
                if shape is None:
                    shape = values.shape[1:]
                    digest.update(str(shape).encode())
                digest.update(values.tobytes())
                yield {name: values}

        self._write(FeatureRecipe({name: (name,)}, {name: scratch}, length, hashed, {name: dtype}), {name})
        key = digest.hexdigest()[:32]
        self._array(scratch).replace(self._array(key))
        self._note(scratch).replace(self._note(key))
        return self.open({name: [key]})

    def _write(self, recipe: FeatureRecipe, parts: Collection[str]) -> None:
        start, count = time.perf_counter(), 0
        if self.folder.exists():
            clear_partials(self.folder)
        # Sequential writes, not a writable memory map: a full disk then raises instead of killing the process.
        with ExitStack() as finished, ExitStack() as opened:
            files: dict[str, IO[bytes]] = {}
            for batch in recipe.batches(parts):
                for part in parts:
                    values = np.ascontiguousarray(batch[part], dtype=recipe.dtypes.get(part, "float16"))
                    if part not in files:
                        partial = finished.enter_context(whole(self._array(recipe.keys[part])))
                        files[part] = opened.enter_context(partial.open("wb"))
                        _write_header(files[part], (recipe.length, *values.shape[1:]), values.dtype)
                    files[part].write(values.tobytes())
                count += len(values)
            if count != recipe.length:
                raise EndlineError(f"{recipe.length} samples were announced and {count} extracted: nothing was kept.")
            opened.close()
            about = json.dumps({"pass": uuid4().hex, "seconds": time.perf_counter() - start})
            for part in parts:
                write_whole(self._note(recipe.keys[part]), about)

    def _array(self, key: str) -> Path:
        return self.folder / f"{key}.npy"

    def _note(self, key: str) -> Path:
        return self.folder / f"{key}.json"

    def _opened(self, key: str) -> NDArray[Any]:
        try:
            array: NDArray[Any] = np.load(self._array(key), mmap_mode="r", allow_pickle=False)
        except (OSError, EOFError, ValueError) as error:
            raise self._unreadable(key, error) from error
        return array

    def _seconds(self, key: str) -> tuple[str, float]:
        try:
            about = json.loads(self._note(key).read_text())
            return str(about["pass"]), float(about["seconds"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise self._unreadable(key, error) from error

    def _unreadable(self, key: str, error: Exception) -> EndlineError:
        return EndlineError(f"The array {self._array(key)} cannot be read ({error}): delete the file and run again.")


def _write_header(file: IO[bytes], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
    description = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(file, {"descr": description, "fortran_order": False, "shape": shape})
