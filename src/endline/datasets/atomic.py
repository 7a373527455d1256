"""A wrapper that makes the writes of any local Kedro dataset atomic."""

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

from kedro.io import AbstractDataset, AbstractVersionedDataset
from kedro.io.core import Version

from endline.errors import EndlineError


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
        path = Path(self._get_save_path())
        # The partial name keeps the suffix: some datasets choose their format by it.
        partial = path.with_name(f".{uuid4().hex[:8]}.partial{path.suffix}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._wrapped(partial).save(data)
            os.replace(partial, path)
        except Exception as error:
            cause = _disk_error(error)
            if cause is None:
                raise
            raise EndlineError(
                f"{path} could not be written ({cause.strerror}): free or unlock the disk and run again."
            ) from error
        finally:
            if partial.is_dir():
                shutil.rmtree(partial, ignore_errors=True)
            else:
                partial.unlink(missing_ok=True)

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


def _disk_error(error: BaseException | None) -> OSError | None:
    """The OSError behind an exception of Kedro's, if there is one that has not been told in words yet."""
    while error is not None and not isinstance(error, OSError | EndlineError):
        error = error.__cause__
    return error if isinstance(error, OSError) else None
