"""End-of-line inspection that learns from good parts only.

Judge new parts with what a run has published; `import endline` itself loads nothing of that.

Example:
    >>> import endline
    >>> sorted(endline.__all__)
    ['EndlineError', 'Explanation', 'Inspector']
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from endline.errors import EndlineError
    from endline.operations.explanation import Explanation
    from endline.operations.inspection import Inspector

__all__ = ["EndlineError", "Explanation", "Inspector"]
_MODULES = {
    "EndlineError": "endline.errors",
    "Explanation": "endline.operations.explanation",
    "Inspector": "endline.operations.inspection",
}


def __getattr__(name: str) -> Any:
    """A public name, its module imported now."""
    if name not in _MODULES:
        raise AttributeError(f"module 'endline' has no attribute '{name}': its names are {', '.join(__all__)}.")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """The public names."""
    return sorted(__all__)
