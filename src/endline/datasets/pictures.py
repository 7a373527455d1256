"""Kedro dataset of pictures: a folder of files, by name."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset

Pictures = dict[str, bytes]


class PicturesDataset(AbstractDataset[Pictures, Pictures]):
    """Saves and loads encoded pictures, file name -> content, as the files of a folder.

    Args:
        filepath: the folder.

    Example:
        >>> import tempfile
        >>> dataset = PicturesDataset(f"{tempfile.mkdtemp()}/figures")
        >>> dataset.save({"roc.png": b"a picture"})
        >>> dataset.load()
        {'roc.png': b'a picture'}
    """

    def __init__(self, filepath: str) -> None:
        self._filepath = Path(filepath)

    def save(self, data: Pictures) -> None:
        """Write every picture into the folder, which is there even when it stays empty."""
        self._filepath.mkdir(parents=True, exist_ok=True)
        for name, content in data.items():
            (self._filepath / name).write_bytes(content)

    def load(self) -> Pictures:
        """Every file of the folder, by name."""
        return {path.name: path.read_bytes() for path in sorted(self._filepath.iterdir())}

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
