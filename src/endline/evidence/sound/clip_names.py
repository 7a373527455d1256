"""What a clip's file name tells, in the layouts of DCASE task 2 from 2020 to 2026."""

import re
from dataclasses import dataclass

SOURCE, TARGET = "source", "target"
EXAMPLE = "section_00_source_test_normal_0001_vel_6.wav"
NO_ATTRIBUTE = "noAttribute"
# 2021 on. Evaluation clips lack the label, those of 2023 on the domain and the attributes too.
_OF_SECTION = re.compile(
    r"section_(?P<section>\d+)(?:_(?P<domain>source|target))?(?:_(?P<role>train|test|supplemental))?"
    r"(?:_(?P<label>normal|anomaly))?_(?P<number>\d+)(?:_(?P<attributes>.+))?"
)
_OF_MACHINE = re.compile(r"(?:(?P<label>normal|anomaly)_)?id_(?P<section>\d+)_(?P<number>\d+)")  # 2020
_NEARLY = re.compile(r"section|(source|target)_(train|test)|(normal|anomaly)_id", re.IGNORECASE)


@dataclass(frozen=True)
class ClipName:
    """What a clip's name tells; None where it tells nothing.

    Attributes:
        section: its number as text, `00`; in 2020 the number of the machine.
        domain: `source` or `target`.
        role: `train`, `test` or `supplemental`.
        label: 0 normal, 1 anomalous.
        attributes: working conditions, as `vel_6_loc_A`.

    Example:
        >>> ClipName.of("section_00_target_train_normal_0003_vel_6_loc_A")
        ClipName(section='00', domain='target', role='train', label=0, attributes='vel_6_loc_A')
    """

    section: str
    domain: str | None = None
    role: str | None = None
    label: int | None = None
    attributes: str | None = None

    @property
    def tells(self) -> bool:
        """Whether it tells a role or a label: mere numbers may look so by chance.

        Example:
            >>> ClipName("07", label=0).tells, ClipName("07").tells
            (True, False)
        """
        return self.role is not None or self.label is not None

    @classmethod
    def of(cls, stem: str) -> "ClipName | None":
        """What a name without its ending tells; None where it follows no layout.

        Example:
            >>> ClipName.of("anomaly_id_02_00000007").label, ClipName.of("section_00_0012"), ClipName.of("motor 7")
            (1, ClipName(section='00', domain=None, role=None, label=None, attributes=None), None)
        """
        match = _OF_SECTION.fullmatch(stem) or _OF_MACHINE.fullmatch(stem)
        if match is None:
            return None
        told = match.groupdict()
        label = None if told["label"] is None else int(told["label"] == "anomaly")
        attributes = told.get("attributes")
        known = None if attributes in (None, NO_ATTRIBUTE) else attributes
        return cls(told["section"], told.get("domain"), told.get("role"), label, known)


def follows_nearly(stem: str) -> bool:
    """Whether a name is meant to follow a layout and does not.

    Example:
        >>> follows_nearly("section_0_source_tset_normal_1"), follows_nearly("motor 7")
        (True, False)
    """
    return ClipName.of(stem) is None and _NEARLY.search(stem) is not None
