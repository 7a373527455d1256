"""The raw data of a sweep: where they lie, and a digest by which a resumed sweep knows them again."""

import hashlib
import os
from pathlib import Path

from endline.errors import EndlineError
from endline.operations.sweep.grid import Sweep

DATA_ROOT = "../shared/data"  # relative to the project; where ENDLINE_DATA falls back to


def raw_folder(sweep: Sweep, project: Path, raw: Path | None) -> Path | None:
    """Raw folder of the sweep: the given one, else its data set below ENDLINE_DATA; None for a sweep without one.

    Raises:
        EndlineError: when it is not there; the sentence says which data and where to get them.
    """
    if raw is not None:
        if not raw.is_dir():
            raise EndlineError(f"There is no folder {raw} (from --raw): correct it, or leave it out.")
        return raw.resolve()
    if sweep.data is None:
        return None
    root = Path(os.environ.get("ENDLINE_DATA") or project / DATA_ROOT)
    folder = root / sweep.data
    if not folder.is_dir():
        raise EndlineError(
            f"The sweep '{sweep.name}' needs the data set '{sweep.data}', and there is no folder {folder}. "
            f"{sweep.source} Put it there, name the folder above it in ENDLINE_DATA, or give your own by "
            "--raw=<folder>."
        )
    return folder.resolve()


def data_digest(folder: Path | None) -> str:
    """Digest of names and contents of all files of a folder; `station` where the station finds its own data."""
    if folder is None:
        return "station"
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode())
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
