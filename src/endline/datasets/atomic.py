"""A wrapper that makes the writes of any local Kedro dataset atomic."""

from pathlib import Path, PurePosixPath
from typing import Any

from kedro.io import AbstractDataset, AbstractVersionedDataset
from kedro.io.core import Version

from endline.files import whole


class AtomicDataset(AbstractVersionedDataset[Any, Any]):
    """Saves through another dataset to a temporary name, then renames: no half-written file is ever read.

    Args:
        filepath: local file or folder.
        dataset: configuration of the wrapped dataset, without `filepath` and `versioned`.
        version: Kedro's version; the wrapped dataset knows nothing of it.
        metadata: for Kedro-Viz and plugins.

    Example:
        A catalog entry: `{type: endline.datasets.atomic.AtomicDataset, versioned: true,
        filepath: data/scores.parquet, dataset: {type: pandas.ParquetDataset}}`.
    """

    def __init__(
        self,
        filepath: str,
        dataset: dict[str, Any],
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self.metadata = metadata
        self._dataset = dataset
        super().__init__(PurePosixPath(filepath), version)

    def save(self, data: Any) -> None:
        """Write whole or not at all.

        Raises:
            EndlineError: when the disk is full or read-only.
        """
        with whole(Path(self._get_save_path())) as partial:
            self._wrapped(partial).save(data)

    def load(self) -> Any:
        """What the newest (or the asked) version holds."""
        return self._wrapped(Path(self._get_load_path())).load()

    def _wrapped(self, path: Path) -> AbstractDataset[Any, Any]:
        return AbstractDataset.from_config("wrapped", self._dataset | {"filepath": str(path)})

    def _exists(self) -> bool:
        try:
            return Path(self._get_load_path()).exists()
        except Exception:  # Kedro raises while there is no version yet
            return False

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "dataset": self._dataset, "version": self._version}
