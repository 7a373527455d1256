"""The feature set: named float arrays whose first axis follows the sample table, read in batches."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from endline.errors import EndlineError
from endline.files import content_key

Batch = dict[str, Tensor]
Rows = Sequence[int] | NDArray[np.int64]


class FeatureSet:
    """Arrays of n samples, read in batches; memory stays bounded by the batch.

    Args:
        arrays: name -> array (n, ...), float16 or float32, in memory or memory-mapped; or a sequence of such arrays,
            which are joined over their second axis (channels) when they are read.
        key: content key of the whole set.
        seconds: time its extraction took, when it was extracted.
        rows: the samples that this view shows, in this order; all by default. Rows (n, parts) show n samples, each
            joined from its parts: maps one below the other, vectors one after the other.
        device: that tensors are read onto.
        stored: name -> keys of its arrays in an `ArrayStore`; empty where the arrays lie in none.

    Raises:
        EndlineError: when there is no array or the arrays differ in their number of samples.

    Example:
        >>> maps = np.arange(12, dtype="f4").reshape(3, 1, 2, 2)
        >>> features = FeatureSet({"scale_0": [maps, maps + 1], "views": np.zeros((3, 4, 5), "f4")})
        >>> features.shapes
        {'scale_0': (2, 2, 2), 'views': (4, 5)}
        >>> features.only(["scale"]).take([2]).read()["scale_0"].flatten().tolist()
        [8.0, 9.0, 10.0, 11.0, 9.0, 10.0, 11.0, 12.0]
    """

    def __init__(
        self,
        arrays: Mapping[str, NDArray[Any] | Sequence[NDArray[Any]]],
        *,
        key: str = "",
        seconds: float = 0.0,
        rows: Rows | None = None,
        device: torch.device | str = "cpu",
        stored: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        self._arrays = {
            name: (array,) if isinstance(array, np.ndarray) else tuple(array) for name, array in arrays.items()
        }
        lengths = {name: len(array) for name, joined in self._arrays.items() for array in joined}
        if len({len(array) for joined in self._arrays.values() for array in joined}) != 1:
            raise EndlineError(f"A feature set needs arrays of one length, got {lengths}: extract it again.")
        self.key = key
        self.seconds = seconds
        self.device = torch.device(device)
        self.stored = {name: tuple(keys) for name, keys in (stored or {}).items()}
        self.rows = np.arange(next(iter(lengths.values()))) if rows is None else np.asarray(rows, dtype=np.int64)

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        return f"FeatureSet({len(self)} samples, {self.shapes}, key={self.key[:8]})"

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Shape of one sample, by array name."""
        parts = self.rows.shape[1] if self.rows.ndim == 2 else 1
        sizes = {}
        for name, joined in self._arrays.items():
            size = list(joined[0].shape[1:])
            if len(joined) > 1:
                size[0] = sum(array.shape[1] for array in joined)
            size[-2 if len(size) > 1 else -1] *= parts
            sizes[name] = tuple(size)
        return sizes

    @property
    def fingerprint(self) -> str:
        """Digest of what this view shows: the set's key and the rows."""
        return content_key(self.key, self.rows.tolist())

    def take(self, rows: Rows) -> "FeatureSet":
        """View of some samples, `rows` counted within this view."""
        return self._view(rows=self.rows[_numbers(rows)])

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

    def including(self, name: str, values: NDArray[Any]) -> "FeatureSet":
        """View with one more array, of numbers that are known of the shown samples, such as their classes.

        Args:
            name: of the new array.
            values: (n, ...), one for each shown sample; where a sample is joined from parts, each part has them.

        Example:
            >>> features = FeatureSet({"x": np.zeros((3, 2), "f4")}).take([2, 0])
            >>> features.including("class", np.array([[5.0], [7.0]], "f4")).read([1])["class"]
            tensor([[7.]])
        """
        length = len(next(iter(self._arrays.values()))[0])
        array = np.zeros((length, *values.shape[1:]), values.dtype)
        array[self.rows] = values if self.rows.ndim == 1 else values[:, None]
        key = content_key(self.key, name, values.tolist())
        return self._view({**self._arrays, name: (array,)}, key=key)

    def _view(self, arrays: Mapping[str, Sequence[NDArray[Any]]] | None = None, **changes: Any) -> "FeatureSet":
        shown = self._arrays if arrays is None else arrays
        stored = {name: keys for name, keys in self.stored.items() if name in shown}
        same = {"key": self.key, "seconds": self.seconds, "rows": self.rows, "device": self.device, "stored": stored}
        return FeatureSet(shown, **{**same, **changes})

    def read(self, rows: Rows | None = None) -> Batch:
        """Samples as float32 tensors (rows, ...); all of the view by default."""
        chosen = self.rows if rows is None else self.rows[_numbers(rows)]
        if chosen.ndim == 1:
            return {name: self._tensor(joined, chosen) for name, joined in self._arrays.items()}
        parts = [{name: self._tensor(joined, column) for name, joined in self._arrays.items()} for column in chosen.T]
        return {
            name: torch.cat([part[name] for part in parts], -2 if parts[0][name].ndim > 2 else -1)
            for name in self._arrays
        }

    def _tensor(self, joined: Sequence[NDArray[Any]], rows: NDArray[np.int64]) -> Tensor:
        values = joined[0][rows] if len(joined) == 1 else np.concatenate([array[rows] for array in joined], 1)
        return torch.from_numpy(values).to(self.device).float()

    def batches(self, size: int, order: Rows | None = None) -> Iterator[Batch]:
        """Batches of at most `size` samples, in the view's order or in `order`."""
        order = np.arange(len(self)) if order is None else np.asarray(order)
        for start in range(0, len(order), size):
            yield self.read(order[start : start + size])


def _numbers(rows: Rows) -> NDArray[np.int64]:
    """Rows as an array, also where there are none."""
    return np.asarray(rows) if len(rows) else np.zeros(0, np.int64)


def _stem(name: str) -> str:
    """`scale` of `scale_0`."""
    stem, _, number = name.rpartition("_")
    return stem if number.isdecimal() else name
