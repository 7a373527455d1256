"""Colours, names and sizes that the page and its figures share; nothing here draws."""

import re
from collections.abc import Sequence

OVERALL = "all"
"""Name of the ROC curve over all anomalies together."""
# Okabe and Ito, "Color Universal Design", 2008: distinct with every kind of colour vision.
INK, MUTED, GRID = "#1b2733", "#5b6b7b", "#e1e7ec"
NORMAL, CALIBRATING, UNKNOWN, FLAGGED = "#0072b2", "#9db7ca", "#8a8f96", "#b3480b"
KIND_COLOURS = ("#d55e00", "#e69f00", "#cc79a7", "#009e73", "#56b4e9", "#7a5230")
LINE_STYLES = ("-", "--", ":", "-.")
WIDTH = 5.2
"""Width in inches of a figure that fills an exhibit's card; the report shows an inch as 100 CSS pixels."""
DOTS_PER_INCH = 200
TEXT = 8.0  # points


def kind_colours(kinds: Sequence[str]) -> dict[str, str]:
    """Give each fault kind its colour, the same in every figure of a report; colours repeat after six.

    Example:
        >>> kind_colours(["scratch", "dent"])
        {'dent': '#d55e00', 'scratch': '#e69f00'}
    """
    return {kind: KIND_COLOURS[i % len(KIND_COLOURS)] for i, kind in enumerate(sorted(set(kinds)))}


def kind_name(kind: str) -> str:
    r"""Name a fault kind for readers: a bare number or code, as data sets have, gets the word before it.

    Characters without a picture, such as a tab, become �.

    Example:
        >>> kind_name("7"), kind_name("B2"), kind_name("cut"), kind_name("tooth\tscratch")
        ('fault 7', 'fault B2', 'cut', 'tooth�scratch')
    """
    kind = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in kind)
    return f"fault {kind}" if len(kind) <= 3 and not re.fullmatch("[^\\W\\d_]{3}", kind) else kind
