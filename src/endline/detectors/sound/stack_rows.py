"""Which row of the stack is what (García-de-la-Puente et al. 2024, section 2.1)."""

from collections.abc import Mapping, Sequence
from itertools import accumulate

from endline.errors import EndlineError

# Rows of each group, in the stack's order.
GROUPS: Mapping[str, int] = {
    **{"log_mel": 128, "chroma": 12, "contrast": 7, "tonnetz": 6},
    **{"rms": 1, "centroid": 1, "bandwidth": 1, "flatness": 1, "zero_crossings": 1},
}
ROWS = sum(GROUPS.values())


def row_names() -> list[str]:
    """Names of all 158 rows: of the group, and the row's number in it where there are several.

    Example:
        >>> names = row_names()
        >>> len(names), names[0], names[128], names[153]
        (158, 'log_mel 1', 'chroma 1', 'rms')
    """
    return [f"{group} {row}" if count > 1 else group for group, count in GROUPS.items() for row in range(1, count + 1)]


def row_numbers(groups: Sequence[str]) -> list[int]:
    """Numbers of the rows of some groups, in the stack's order.

    Raises:
        EndlineError: for an unknown group, or none.

    Example:
        >>> row_numbers(["rms", "contrast"])
        [140, 141, 142, 143, 144, 145, 146, 153]
    """
    if unknown := [group for group in groups if group not in GROUPS]:
        raise EndlineError(f"The stack has no rows '{unknown[0]}': choose of {', '.join(GROUPS)}.")
    if not groups:
        raise EndlineError(f"No rows of the stack are chosen: name some of {', '.join(GROUPS)}.")
    starts = dict(zip(GROUPS, accumulate(GROUPS.values(), initial=0), strict=False))
    return [row for group in GROUPS if group in groups for row in range(starts[group], starts[group] + GROUPS[group])]
