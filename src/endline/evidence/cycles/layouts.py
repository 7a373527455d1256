"""Layouts of folders of cycles: which files lie where, and what each shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from endline.errors import EndlineError
from endline.evidence.cycles.cycle_files import SUFFIXES
from endline.evidence.cycles.robot_files import is_robot_file
from endline.evidence.folders import kind_of_folders, visible_files
from endline.robot_signals import GROUPS, SIGNALS
from endline.samples import NORMAL, NORMAL_WORDS

MARKER = "simulation.json"  # the note beside simulated files is no cycle


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
        left_out: anomalous files below `train/`: nothing learns from them, and the published test is without them.

    Example:
        >>> CycleLayout(None, (CycleFile("normal/0.csv", "normal"),)).published_split
        False
    """

    robot_file: Path | None
    files: tuple[CycleFile, ...] = ()
    published_split: bool = False
    left_out: int = 0


def find_layout(folder: Path, normal: Sequence[str], file: str | None) -> CycleLayout:
    """Recognise a file in the layout of voraus-AD, `train/` and `test/`, or a plain folder with `normal/`.

    Args:
        folder: raw folder.
        normal: names of folders with normal cycles, besides the usual ones.
        file: name of the robot file where the folder holds several; None for the only one.

    Raises:
        EndlineError: when the folder is missing or empty, has none of the layouts, or holds several robot files.
    """
    if not folder.is_dir():
        raise EndlineError(f"There is no folder {folder}: give the folder of the cycles (--params=raw=<folder>).")
    robot = {path.name: path for path in sorted(folder.glob("*.parquet")) if is_robot_file(path)}
    if file is not None or robot:
        return CycleLayout(_chosen(folder, robot, file))
    words = NORMAL_WORDS | {word.lower() for word in normal}
    published = (folder / "train").is_dir() and (folder / "test").is_dir()
    files: list[CycleFile] = []
    left_out = 0
    for path in visible_files(folder, SUFFIXES):
        relative = path.relative_to(folder)
        if path.name == MARKER:
            continue
        folders, split = relative.parts[:-1], "test"
        if published and folders[:1] in (("train",), ("test",)):
            split, folders = folders[0], folders[1:]
        shown = kind_of_folders(folders, words)
        if split == "train" and shown != NORMAL:
            left_out += 1
            continue
        files.append(CycleFile(relative.as_posix(), shown, split))
    if not files:
        raise EndlineError(
            f"{folder} holds no cycle: put normal ones into {folder / NORMAL} (csv, xlsx, parquet, json), or a Parquet "
            "file in the layout of voraus-AD there."
        )
    if not any(one.kind == NORMAL and (one.split == "train" or not published) for one in files):
        raise EndlineError(
            f"{folder} holds no normal cycle to learn from: put normal ones into {folder / NORMAL}, or name their "
            "folder in robot_cycle.preparation.formats (normal: [...])."
        )
    return CycleLayout(None, tuple(files), published, left_out)


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
