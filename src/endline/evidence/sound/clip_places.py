"""What the folders of a clip tell in the layouts of DCASE task 2, `<machine>/train/` and the like."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from endline.evidence.labels import kind_of, names_a_fault
from endline.evidence.sound.clip_names import ClipName, follows_nearly
from endline.samples import NORMAL, TEST, TRAIN

ROLES = {"train": TRAIN, "test": TEST, "source_test": TEST, "target_test": TEST}  # folder -> split
SUPPLEMENTAL = "supplemental"


@dataclass(frozen=True)
class ClipPlace:
    """What the folders of a clip tell.

    Attributes:
        machine: the folder above those of role and label, relative to the raw folder; "." is this one itself.
        role: `train`, `test`, `source_test`, `target_test` or `supplemental`, None where no folder tells it.
        label: 0 normal, 1 anomalous, None where no folder tells it.

    Example:
        >>> ClipPlace.of("dev/fan/Test/normal/a.wav")
        ClipPlace(machine='dev/fan', role='test', label=0)
    """

    machine: str
    role: str | None = None
    label: int | None = None

    @classmethod
    def of(cls, name: str) -> "ClipPlace":
        """What a path relative to the raw folder tells, with `/` between its folders."""
        above, role = PurePosixPath(name).parent, None
        label = _label(above.name)
        if label is not None:
            above = above.parent
        if above.name.lower() in (*ROLES, SUPPLEMENTAL):
            above, role = above.parent, above.name.lower()
        return cls(above.as_posix(), role, label)

    def machine_below(self, folder: Path) -> str:
        """Name of the machine; that of the raw folder where the clip lies in no other."""
        return PurePosixPath(self.machine).name or folder.resolve().name


def is_layout(told: Mapping[str, ClipName | None], places: Mapping[str, ClipPlace]) -> bool:
    """Whether clips are laid out as those of DCASE: at least half, by name or folder, tell a role or label, or nearly.

    Names of numbers alone do not, so that they override neither folders of labels nor a table.

    Args:
        told: path -> what the name tells.
        places: path -> what the folders tell.

    Example:
        >>> [is_layout({path: ClipName("07")}, {path: ClipPlace.of(path)}) for path in ("test/a.wav", "normal/a.wav")]
        [True, False]
    """
    telling = [
        path for path, name in told.items() if name is not None and (name.tells or places[path].role is not None)
    ]
    nearly = sum(follows_nearly(PurePosixPath(path).stem) for path in told)
    return bool(telling) and 2 * (len(telling) + nearly) >= len(told)


def _label(word: str) -> int | None:
    if names_a_fault(word):  # any other name may be a machine's
        return 1
    return 0 if kind_of(word) == NORMAL else None
