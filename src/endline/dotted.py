"""Nested settings as flat ones with dotted names, and back: the one place for both."""

from collections.abc import Mapping
from typing import Any

from endline.errors import EndlineError


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted names as nested dictionaries.

    Args:
        flat: dotted name -> value; a name without a dot is a value at the top.

    Raises:
        EndlineError: when one name is both a value and a group.

    Example:
        >>> nest({"net.blocks": 3, "net.width": 8, "seed": 0})
        {'net': {'blocks': 3, 'width': 8}, 'seed': 0}
    """
    tree: dict[str, Any] = {}
    for name, value in flat.items():
        *path, leaf = name.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                raise EndlineError(f"The parameter '{name}' lies below '{part}', which has a value: give only one.")
        if isinstance(branch.get(leaf), dict):
            raise EndlineError(f"The parameter '{name}' is a group that other parameters lie in: give only one.")
        branch[leaf] = value
    return tree


def flatten(tree: Mapping[Any, Any], prefix: str = "") -> dict[str, Any]:
    """Nested dictionaries as one with dotted names, in the same order; an empty dictionary stays as a value.

    Args:
        tree: nested dictionaries; keys are written as text.
        prefix: what every name starts with, its dot included.

    Example:
        >>> flatten({"net": {"blocks": 3, "more": {}}, "seed": 0})
        {'net.blocks': 3, 'net.more': {}, 'seed': 0}
    """
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        name = f"{prefix}{key}"
        flat |= flatten(value, f"{name}.") if isinstance(value, Mapping) and value else {name: value}
    return flat
