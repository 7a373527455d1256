"""Every public class and function says what it is; every public class shows how it is used."""

import inspect
import pkgutil
from importlib import import_module

import pytest

import endline

# Kedro and click find these by their own rules, and nobody calls them.
HIDDEN = {"endline.__main__"}


def modules() -> list[str]:
    found = pkgutil.walk_packages(endline.__path__, "endline.")
    return sorted({each.name for each in found} - HIDDEN)


@pytest.mark.parametrize("name", modules())
def test_public_things_are_described_and_classes_have_an_example(name):
    module = import_module(name)
    assert (module.__doc__ or "").strip(), f"{name} has no docstring"
    without, undescribed = [], []
    for thing, value in vars(module).items():
        if thing.startswith("_") or getattr(value, "__module__", None) != name:
            continue
        if inspect.isclass(value):
            if "Example:" not in (value.__doc__ or ""):
                without.append(thing)
        elif inspect.isfunction(value) and not (value.__doc__ or "").strip():
            undescribed.append(thing)
    assert not undescribed, f"no docstring: {undescribed}"
    assert not without, f"no Example: {without}"
