"""How all figures are drawn: the colours of maps, sizes of axes, encoding."""

import io

from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from endline.reporting.palette import DOTS_PER_INCH, GRID, INK, MUTED, TEXT

COMPRESSION = 6  # of PNG: level 9 takes four times as long for a few percent

# Transparent where nothing is anomalous, so that the picture stays visible; darker and denser = more anomalous.
MAP_COLOURS = LinearSegmentedColormap.from_list(
    "endline_map",
    [
        (1.00, 0.72, 0.15, 0.00),
        (1.00, 0.70, 0.10, 0.08),
        (1.00, 0.58, 0.03, 0.55),
        (0.90, 0.26, 0.05, 0.76),
        (0.60, 0.02, 0.25, 0.86),
    ],
)


def encode_png(figure: Figure, *, dots_per_inch: int = DOTS_PER_INCH) -> bytes:
    """Encode as PNG; at the default resolution the report shows an inch as 100 CSS pixels.

    Example:
        >>> encode_png(Figure(figsize=(1, 1)))[1:4]
        b'PNG'
    """
    target = io.BytesIO()
    figure.savefig(target, format="png", dpi=dots_per_inch, pil_kwargs={"compress_level": COMPRESSION})
    return target.getvalue()


def label_axes(axis: Axes, x_label: str, y_label: str) -> None:
    """Label the axes of an exhibit; where the y label stands does not depend on the tick labels."""
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
