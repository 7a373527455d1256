"""Layouts of folders of cycles: which files lie where, and what each shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from endline.errors import EndlineError
from endline.evidence.cycles.cycle_files import SUFFIXES
from endline.evidence.cycles.robot_files import is_robot_file
from endline.evidence.folders import (
    LABEL_TABLES,
    is_side_file,
    kind_of_folders,
    list_folder,
    other_endings,
    visible_files,
)
from endline.evidence.labels import Own, check_words
from endline.robot_signals import GROUPS, SIGNALS
from endline.samples import NORMAL


@dataclass(frozen=True)
class CycleFile:
    """A file of one cycle, not yet opened: its path relative to the raw folder, kind (None = unknown) and split.

    Example:
        >>> CycleFile("stuck/7.csv", "stuck").split
        'test'
    """

    path: str
    kind: str | None
    split: str = "test"


@dataclass(frozen=True)
class CycleLayout:
    """What a folder holds by the names of its files.

    Attributes:
        robot_file: a file of many cycles in the layout of voraus-AD, or None.
        files: of one cycle each, in the order of their paths; empty where there is a robot file.
        published_split: whether the folder divides training and test.
        left_out: path and kind (None = unknown) of files below `train/` that are not known to be normal: nothing learns
            from them, and the published test is without them.

    Example:
        >>> CycleLayout(None, (CycleFile("normal/0.csv", "normal"),)).published_split
        False
    """

    robot_file: Path | None
    files: tuple[CycleFile, ...] = ()
    published_split: bool = False
    left_out: tuple[tuple[str, str | None], ...] = ()


def find_layout(folder: Path, own: Own, file: str | None, *, tables: bool = False) -> CycleLayout:
    """Recognise a file in the layout of voraus-AD, `train/` and `test/`, or a plain folder with `normal/`.

    Args:
        folder: raw folder.
        own: the user's words for folders, among them those of normal cycles.
        file: name of the robot file where the folder holds several; None for the only one.
        tables: whether every file is a table of many cycles, whose rows may say what they show: then no file is one of
            voraus-AD, and none is left out for its folder.

    Raises:
        EndlineError: when the folder is missing or empty, has none of the layouts, or holds several robot files; as
            `check_words`.
    """
    if not folder.is_dir():
        raise EndlineError(f"There is no folder {folder}: give the folder of the cycles (--params=raw=<folder>).")
    robot = robot_files(folder)
    if not tables and (file is not None or robot):
        return CycleLayout(_chosen(folder, robot, file))
    published = (folder / "train").is_dir() and (folder / "test").is_dir()
    files: list[CycleFile] = []
    left_out: list[tuple[str, str | None]] = []
    for path in visible_files(folder, SUFFIXES):
        relative = path.relative_to(folder)
        if is_side_file(path, SUFFIXES) or path.name.lower() in LABEL_TABLES:
            continue
        folders, split = relative.parts[:-1], "test"
        if published and folders[:1] in (("train",), ("test",)):
            split, folders = folders[0], folders[1:]
        shown = kind_of_folders(folders, own)
        if split == "train" and shown != NORMAL and not tables:
            left_out.append((relative.as_posix(), shown))
            continue
        files.append(CycleFile(relative.as_posix(), shown, split))
    shown_kinds = [*(one.kind for one in files), *(kind for _, kind in left_out)]
    check_words(shown_kinds, f"{folder}, by the names of its folders,", own)
    if not files and not left_out:
        others = other_endings(list_folder(folder, SUFFIXES), SUFFIXES)
        raise EndlineError(
            f"{folder} holds no cycle{others}: put normal ones into {folder / NORMAL} (csv, xlsx, parquet, json), or a "
            "Parquet file in the layout of voraus-AD there."
        )
    if not tables and not any(one.kind == NORMAL and (one.split == "train" or not published) for one in files):
        raise EndlineError(
            f"{folder} holds no normal cycle to learn from: put normal ones into {folder / NORMAL}, or name their "
            "folder in robot_cycle.preparation.formats (normal: [...])."
        )
    return CycleLayout(None, tuple(files), published, tuple(left_out))


def robot_files(folder: Path) -> dict[str, Path]:
    """Files of many cycles in the layout of voraus-AD that lie in a folder itself, by name."""
    inside = [path for path in visible_files(folder, (".parquet",)) if path.parent == folder]
    return {path.name: path for path in inside if is_robot_file(path)}


def named_signals(wanted: str | Sequence[str]) -> tuple[str, ...] | None:
    """Names of a group, or those of a list; None for `all`, whatever there is.

    Example:
        >>> named_signals("torque, angle")
        ('torque', 'angle')
    """
    if wanted == "all":
        return None
    if isinstance(wanted, str):
        return GROUPS[wanted] if wanted in GROUPS else tuple(wanted.replace(",", " ").split())
    return tuple(wanted)


def chosen_signals(available: Sequence[str], wanted: str | Sequence[str]) -> tuple[str, ...]:
    """Signals of a group (`all`, `mechanical`, ...) or of a list, in the order in which they are available.

    Raises:
        EndlineError: for an unknown group or signal, or none at all.
    """
    named = available if wanted == "all" else named_signals(wanted) or ()
    unknown = [name for name in named if name not in available]
    if unknown or not named:
        groups = ", ".join(GROUPS) if tuple(available) == SIGNALS else "all"
        problem = f"There is no signal '{unknown[0]}'" if unknown else "No signal was chosen"
        raise EndlineError(
            f"{problem}: choose a group ({groups}) or a list of {', '.join(available[:6])}"
            f"{', ...' if len(available) > 6 else ''} (--params=signals=...)."
        )
    return tuple(name for name in available if name in set(named))


def _chosen(folder: Path, robot: dict[str, Path], file: str | None) -> Path:
    if file is None and len(robot) == 1:
        return next(iter(robot.values()))
    if file is not None and (folder / file).is_file():
        return folder / file
    choices = f"choose one of {', '.join(robot) or 'none'} (--params=file=...)."
    if file is None:
        raise EndlineError(f"{folder} holds {len(robot)} files of cycles: {choices}")
    raise EndlineError(f"{folder} holds no file '{file}': {choices}")
