"""Node functions that know something beforehand."""

from collections.abc import Callable
from functools import partial
from typing import Any


def bound(function: Callable[..., Any], *known: Any, **named: Any) -> Callable[..., Any]:
    """The function with its first arguments, or some by name, given; Kedro draws it under its own name.

    `functools.update_wrapper` would also show Kedro the signature of the whole function, by which it checks the
    parameters of a run.

    Example:
        >>> def scaled(factor: float, value: float) -> float:
        ...     return factor * value
        >>> double = bound(scaled, 2.0)
        >>> double.__name__, double(3.0)
        ('scaled', 6.0)
    """
    node = partial(function, *known, **named)
    node.__name__ = function.__name__  # type: ignore[attr-defined]
    node.__doc__ = function.__doc__
    return node
