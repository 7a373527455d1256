"""Units of signals, which files may say below the names of their columns: one a signal, in all cycles."""

from collections import Counter
from collections.abc import Iterable, Sequence

from endline.errors import FileRejected


def usual_units(cycles: Iterable[tuple[Sequence[str], Sequence[str]]], names: Sequence[str]) -> tuple[str, ...]:
    """Unit that each signal has in most of some cycles, empty where none says one; () where none says any.

    Args:
        cycles: names of the signals of each, and their units, () where it says none.
        names: of the signals asked for.

    Example:
        >>> usual_units([(["way", "torque"], ["mm", "Nm"]), (["torque"], ())], ["torque"])
        ('Nm',)
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    for own, own_units in cycles:
        for name, unit in zip(own, own_units, strict=False):
            if unit and name in counts:
                counts[name][unit] += 1
    units = tuple(count.most_common(1)[0][0] if count else "" for count in counts.values())
    return units if any(units) else ()


def check_units(own: Sequence[str], own_units: Sequence[str], names: Sequence[str], units: Sequence[str]) -> None:
    """Refuse a cycle of which a signal is in another unit than `units` of `names`; what says none is taken.

    Raises:
        FileRejected: naming the first.
    """
    usual = dict(zip(names, units, strict=False))
    for name, unit in zip(own, own_units, strict=False):
        if unit and usual.get(name, "") not in ("", unit):
            said = f"its '{name}' is in {unit}, that of the cycles that train in {usual[name]}"
            raise FileRejected(said, f"export it in {usual[name]}")
