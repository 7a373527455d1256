"""Node functions that know something beforehand."""

from collections.abc import Callable
from inspect import signature
from typing import Any


def bound(function: Callable[..., Any], *known: Any, **named: Any) -> Callable[..., Any]:
    """The function with its first arguments, or some by name, given: under its own name, with what is left to give.

    Kedro draws a node by the name of its function and checks the parameters of a run by its annotations, neither of
    which a `functools.partial` shows.

    Example:
        >>> def scaled(factor: float, value: float) -> float:
        ...     return factor * value
        >>> double = bound(scaled, 2.0)
        >>> double.__name__, str(signature(double)), double(3.0)
        ('scaled', '(value: float) -> float', 6.0)
    """

    def node(*args: Any) -> Any:
        return function(*known, *args, **named)

    whole = signature(function)
    left = [each for each in list(whole.parameters.values())[len(known) :] if each.name not in named]
    node.__name__, node.__doc__ = function.__name__, function.__doc__
    node.__signature__ = whole.replace(parameters=left)  # type: ignore[attr-defined]
    node.__annotations__ = {each.name: each.annotation for each in left} | {"return": whole.return_annotation}
    return node
