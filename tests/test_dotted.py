"""Dotted names: there and back, and names that are both a value and a group."""

import pytest

from endline.dotted import flatten, nest
from endline.errors import EndlineError


@pytest.mark.parametrize("flat", [{"a": 1, "a.b": 2}, {"a.b": 2, "a": 1}])
def test_a_name_is_a_value_or_a_group(flat: dict[str, int]) -> None:
    with pytest.raises(EndlineError, match="give only one"):
        nest(flat)


def test_there_and_back() -> None:
    tree = {"a": {"b": 1, "c": {"d": [2], "e": {}}}, "f": None}
    assert flatten(tree) == {"a.b": 1, "a.c.d": [2], "a.c.e": {}, "f": None}
    assert nest(flatten(tree)) == tree
