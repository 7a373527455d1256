"""Folders of files, one a kind: what every layout by folders shares."""

import os
from collections.abc import Collection, Sequence
from pathlib import Path

from endline.samples import NORMAL, NORMAL_WORDS


def visible_files(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """Files with these suffixes (lower case) at any depth, by path, without hidden ones.

    An archive made on a Mac holds `._<name>.png` for each.
    """
    found: list[Path] = []
    seen: set[str] = set()
    for root, folders, names in os.walk(folder, followlinks=True):
        seen.add(os.path.realpath(root))
        folders[:] = [
            each for each in folders if not each.startswith(".") and os.path.realpath(Path(root, each)) not in seen
        ]
        found += [Path(root, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if path.suffix.lower() in suffixes and path.is_file())


def kind_named(name: str, normal: Collection[str] = NORMAL_WORDS) -> str | None:
    """Kind of fault by a folder's name: NORMAL for one of the words `normal` (lower case), None for no name."""
    return NORMAL if name.lower() in normal else name or None


def kind_of_folders(folders: Sequence[str], normal: Collection[str] = NORMAL_WORDS) -> str | None:
    """Kind of a file below `folders`: that of the first, or of the next inside `abnormal/` where there is one."""
    top, *deeper = folders or ("",)
    inside = kind_named(deeper[0], normal) if top.lower() == "abnormal" and deeper else None
    return kind_named(top, normal) if inside in (None, NORMAL) else inside
