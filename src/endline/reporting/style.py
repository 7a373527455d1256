"""What all figures share: colours, names, sizes, encoding."""

import io
from collections.abc import Sequence

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

OVERALL = "all"
"""Key of `roc_figure`'s curve over all anomalies together."""
# Okabe and Ito, "Color Universal Design", 2008: told apart with every kind of colour vision.
INK, MUTED, GRID = "#1b2733", "#5b6b7b", "#e1e7ec"
NORMAL, CALIBRATING, UNKNOWN, FLAGGED = "#0072b2", "#9db7ca", "#8a8f96", "#b3480b"
KIND_COLOURS = ("#d55e00", "#e69f00", "#cc79a7", "#009e73", "#56b4e9", "#7a5230")
LINE_STYLES = ("-", "--", ":", "-.")
# Transparent where nothing is odd, so that the picture stays visible; darker and denser = odder.
HEAT = LinearSegmentedColormap.from_list(
    "endline_heat",
    [
        (1.00, 0.72, 0.15, 0.00),
        (1.00, 0.70, 0.10, 0.08),
        (1.00, 0.58, 0.03, 0.55),
        (0.90, 0.26, 0.05, 0.76),
        (0.60, 0.02, 0.25, 0.86),
    ],
)
WIDTH = 5.2
"""Width in inches of a figure that fills an exhibit's card; the report shows an inch as 100 CSS pixels."""
DOTS_PER_INCH = 200
TEXT = 8.0  # points


def kind_colours(kinds: Sequence[str]) -> dict[str, str]:
    """Give each fault kind its colour, the same in every figure of a report; colours repeat after six."""
    return {kind: KIND_COLOURS[i % len(KIND_COLOURS)] for i, kind in enumerate(sorted(set(kinds)))}


def kind_name(kind: str) -> str:
    """Name a fault kind for readers: a bare number or code, as data sets have, gets the word before it."""
    return f"fault {kind}" if len(kind) <= 3 else kind


def encode_png(figure: Figure, *, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """Encode as PNG; at the default resolution the report shows an inch as 100 CSS pixels.

    Compressed at level 6: the smallest files that Pillow makes are 2 % smaller and take five times as long.

    Example:
        >>> encode_png(Figure(figsize=(1, 1)))[1:4]
        b'PNG'
    """
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=dots_per_inch, pil_kwargs={"compress_level": 6})
    return target.getvalue()


def encode_smallest(figure: Figure) -> tuple[str, bytes]:
    """Encode as SVG or PNG, whichever is smaller: (media type, bytes), the same for the same figure."""
    target = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "endline", "svg.fonttype": "path"}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    drawn, painted = target.getvalue(), encode_png(figure)
    return ("image/svg+xml", drawn) if len(drawn) <= len(painted) else ("image/png", painted)


def label_axes(axis: Axes, x_label: str, y_label: str) -> None:
    """Label the axes of an exhibit; the y label's place does not depend on the tick labels."""
    axis.set_xlabel(x_label, fontsize=TEXT, color=INK, labelpad=1.5)
    axis.set_ylabel(y_label, fontsize=TEXT, color=INK)
    inches = axis.get_position().width * axis.get_figure().get_figwidth()  # type: ignore[union-attr]
    axis.yaxis.set_label_coords(-0.49 / inches, 0.5)


def dress(axis: Axes, *, grid: bool = False, frame: bool = False) -> None:
    """Give axes the sizes and colours of the report."""
    axis.tick_params(labelsize=TEXT - 0.5, length=2.5, width=0.6, color=MUTED, labelcolor=INK)
    for side, spine in axis.spines.items():
        spine.set_visible(frame or side == "bottom" or (grid and side == "left"))
        spine.set_linewidth(0.6)
        spine.set_color(MUTED)
    if grid:
        axis.grid(color=GRID, lw=0.7)
        axis.set_axisbelow(True)
