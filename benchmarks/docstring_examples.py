"""An extension of griffe, which reads docstrings for the documentation: a doctest below `Example:` is shown as code."""

from typing import Any

from griffe import Extension, Object


class Examples(Extension):
    """Give sections `Example:` the heading by which griffe knows doctests.

    Example:
        `extensions: [benchmarks/docstring_examples.py]` in `mkdocs.yml`
    """

    def on_object(self, *, obj: Object, **kwargs: Any) -> None:
        """Change the docstring of an object as it is loaded."""
        if obj.docstring is not None:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")
