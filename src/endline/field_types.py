"""Whether the values of a dataclass are what its annotations say, for they come from files that anyone may edit."""

import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints


def check_fields(settings: object) -> None:
    """Compare every field of a dataclass, nested ones too, with its annotation.

    An int may stand for a float, a bool for neither; NaN is no float. What an annotation of another form says is not
    checked.

    Args:
        settings: an instance of a dataclass.

    Raises:
        TypeError: for the first value of another type, with the name of its field.

    Example:
        >>> from endline.detectors.pooled.gaussian import GaussianConfig
        >>> check_fields(GaussianConfig(shrinkage="much"))
        Traceback (most recent call last):
        TypeError: shrinkage='much' is no float
    """
    annotations = get_type_hints(type(settings))
    for field in fields(settings):  # type: ignore[arg-type]  # an instance of a dataclass
        value = getattr(settings, field.name)
        if not _matches(value, annotations[field.name]):
            raise TypeError(f"{field.name}={value!r} is no {_named(annotations[field.name])}")
        if is_dataclass(value):
            check_fields(value)


def _matches(value: Any, annotation: Any) -> bool:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return any(_matches(value, each) for each in arguments)
    if origin is Literal:
        return value in arguments
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        expected = arguments[:1] * len(value) if arguments[1:] == (...,) else arguments
        return len(expected) == len(value) and all(map(_matches, value, expected))
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(
            _matches(key, arguments[0]) and _matches(each, arguments[1]) for key, each in value.items()
        )
    if annotation is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)
    if annotation is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if annotation in (str, bool, NoneType) or is_dataclass(annotation):
        return isinstance(value, annotation)
    return True


def _named(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else str(annotation)
