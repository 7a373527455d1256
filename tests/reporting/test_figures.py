"""Figures: the right artists, limits and sentences."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from endline.errors import EndlineError
from endline.reporting import figures, palette, pictures, style
from endline.reporting.histogram import score_histogram


def groups(normal: NDArray[np.float64], limit: float = 0.7, **faults: NDArray[np.float64]) -> pd.DataFrame:
    """Scores in groups, the kinds in their order as `score_groups` gives them."""
    parts = {"normal": normal, **dict(sorted(faults.items()))}
    table = pd.concat([pd.DataFrame({"group": name, "score": values}) for name, values in parts.items()])
    return table.assign(flagged=table["score"] > limit)


def curves(kinds: list[str], points: tuple[Any, Any] = ([0.0, 0.5, 1.0], [0.0, 0.9, 1.0])) -> pd.DataFrame:
    rows = [pd.DataFrame({"kind": k, "false_alarm_rate": points[0], "recall": points[1], "auroc": 0.7}) for k in kinds]
    return pd.concat(rows) if rows else pd.DataFrame(columns=["kind", "false_alarm_rate", "recall", "auroc"])


def bar_heights(axis: Any) -> NDArray[np.float64]:
    return np.array([bar.get_height() for bar in axis.patches if hasattr(bar, "get_height")])


def test_histogram_has_a_row_for_each_kind_and_counts_every_score() -> None:
    table = groups(np.linspace(0, 1, 30), scratch=np.linspace(1, 2, 20), dent=np.linspace(0, 2, 10))
    figure = score_histogram(table, threshold=None)
    names = [axis.texts[0].get_text() for axis in figure.axes]
    assert names == ["normal", "dent", "scratch"]
    assert [bar_heights(axis).sum() for axis in figure.axes] == [30, 10, 20]
    assert figure.axes[0].get_xlim() == figure.axes[2].get_xlim()
    assert figure.axes[-1].get_xscale() == "linear"


def test_histogram_puts_a_score_at_the_threshold_below_it() -> None:
    table = groups(np.array([0.1, 0.2, 0.3, 0.7]), scratch=np.array([0.71, 0.9]))
    figure = score_histogram(table, threshold=0.7)
    axes: list[Any] = list(figure.axes)
    for axis, above in zip(axes, (0, 2), strict=True):
        assert axis.lines[0].get_xdata()[0] == 0.7
        bars = [bar for bar in axis.patches if bar.get_height() >= 1 and bar.get_width() < 0.2]
        assert sum(bar.get_height() for bar in bars if bar.get_x() >= 0.7 - 1e-12) == above
        assert f"{above} flagged" in axis.texts[1].get_text()
    assert axes[0].texts[-1].get_text() == "threshold 0.7"


def test_histogram_counts_what_was_flagged_where_several_folds_decide() -> None:
    table = groups(np.array([0.1, 0.2, 0.69]), scratch=np.array([0.6, 0.9]), limit=0.65)
    calibrating = pd.DataFrame({"group": "calibrating normals", "score": [0.3, 0.8], "flagged": pd.NA})
    figure = score_histogram(pd.concat([calibrating, table]), threshold=0.7)
    axes: list[Any] = list(figure.axes)
    assert [axis.texts[1].get_text() for axis in axes] == ["n = 2", "n = 3\n1 flagged", "n = 2\n1 flagged"]
    assert axes[0].texts[-1].get_text() == "threshold near 0.7: several folds decide"


def test_histogram_is_logarithmic_for_a_heavy_tail_only() -> None:
    rng = np.random.default_rng(0)
    normal = np.exp(rng.normal(0, 0.3, 50))
    heavy = score_histogram(groups(normal, scratch=np.exp(rng.normal(5, 1, 50))), 2.0)
    assert heavy.axes[-1].get_xscale() == "log"
    shifted = score_histogram(groups(normal - 1, scratch=np.exp(rng.normal(9, 3, 50))), 0.8)
    assert shifted.axes[-1].get_xscale() == "asinh"
    assert [bar_heights(axis)[:-1].sum() for axis in shifted.axes] == [50, 50]  # last: the shade
    assert "off the axis" not in shifted.axes[1].texts[1].get_text()
    assert 0 in shifted.axes[-1].get_xticks()
    assert 3 <= len(shifted.axes[-1].get_xticks()) < 12
    (left, right), (low, high) = shifted.axes[0].get_xlim(), np.quantile(normal - 1, [0.05, 0.95])
    position = shifted.axes[0].transData.transform
    assert np.diff(position([(low, 0), (high, 0)])[:, 0]) > 0.05 * np.diff(position([(left, 0), (right, 0)])[:, 0])


def test_what_the_logarithm_does_not_show_is_held_by_the_outermost_bar() -> None:
    normal = 1.7e9 + np.random.default_rng(0).normal(0, 0.3, 50)
    figure = score_histogram(groups(normal, scratch=np.append(normal, 1e12)), None)
    assert "1 off the axis" in figure.axes[1].texts[1].get_text()
    assert bar_heights(figure.axes[1]).sum() == 51


@pytest.mark.parametrize("scores", [[3.0, 3.0], [0.0], [-1e9, 1e-9]])
def test_histogram_stands_constant_single_and_extreme_scores(scores: list[float]) -> None:
    for threshold in (None, float("inf"), 0.0, 3.0):
        figure = score_histogram(groups(np.array(scores)), threshold)
        assert style.encode_png(figure, dots_per_inch=40).startswith(b"\x89PNG")


def test_histogram_without_a_finite_score_says_so() -> None:
    with pytest.raises(EndlineError, match="no finite score"):
        score_histogram(groups(np.array([])), None)


def test_roc_draws_overall_in_ink_beside_each_kind_and_the_operating_point() -> None:
    figure = figures.roc_figure(curves([palette.OVERALL, "a", "b"]), operating_point=(0.5, 0.9))
    assert figure is not None
    labels = {line.get_label(): line for line in figure.axes[0].lines}
    assert set(labels) == {
        "_chance",
        "fault a  0.700",
        "fault b  0.700",
        "all faults  0.700",
        "at the threshold",
    }
    assert labels["all faults  0.700"].get_color() == palette.INK
    assert labels["fault a  0.700"].get_color() != labels["fault b  0.700"].get_color()
    assert np.asarray(labels["at the threshold"].get_xydata()).tolist() == [[0.5, 0.9]]
    assert figures.roc_figure(curves([])) is None


def test_roc_of_many_kinds_moves_the_legend_out_of_the_axes() -> None:
    figure = figures.roc_figure(curves([f"kind {i}" for i in range(12)]))
    assert figure is not None
    assert figure.axes[0].get_legend() is None
    assert len(figure.legends[0].get_texts()) == 12
    drawn = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines[1:]}
    assert len(drawn) == 12  # still distinct


def test_training_has_a_panel_a_part_and_a_line_a_member() -> None:
    rows = [
        {"part": part, "fold": 0, "member": member, "epoch": epoch, "loss": 1 / epoch, "validation_loss": 2 / epoch}
        for part in ("fold", "unfold")
        for member in range(3)
        for epoch in range(1, 6)
    ]
    figure = figures.training_figure(pd.DataFrame(rows))
    assert figure is not None
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["fold", "unfold"]
    assert [len(axis.lines) for axis in figure.axes] == [6, 6]
    assert figures.training_figure(pd.DataFrame(rows).drop(columns="validation_loss")).axes[0].lines[2:]  # type: ignore[union-attr]


def test_training_is_none_without_epochs_and_keeps_a_first_peak_from_flattening_the_rest() -> None:
    assert figures.training_figure(pd.DataFrame(columns=["part", "fold", "member", "epoch", "loss"])) is None
    losses = np.append(1e6, np.linspace(1, 0, 99))
    table = pd.DataFrame({"part": None, "fold": 0, "member": 0, "epoch": range(100), "loss": losses})
    figure = figures.training_figure(table)
    assert figure is not None
    assert figure.axes[0].get_ylim()[1] < 5


def test_overlay_shares_limits_and_upsamples_bilinearly_to_the_picture() -> None:
    small = np.array([[0.0, 1.0], [2.0, 3.0]])
    figure = pictures.map_overlay(np.zeros((8, 12)), small, limits=(0.0, 10.0))
    picture, shown = figure.axes[0].images
    assert np.asarray(picture.get_array()).shape == np.asarray(shown.get_array()).shape == (8, 12)
    assert shown.get_clim() == (0.0, 10.0)
    values = np.asarray(shown.get_array())
    assert (values[0, 0], values[-1, -1]) == (0.0, 3.0)
    assert values[0, 2] == 0.0 < values[0, 3]  # aligned by area: flat up to the first cell's centre
    np.testing.assert_allclose(values, values[::-1, ::-1] * -1 + 3, atol=1e-12)  # symmetric: no half-cell shift
    assert figure.axes[1].get_ylabel() == "anomaly score"
    assert shown.cmap(0.0)[3] == 0.0  # nothing anomalous: the picture shows through


def test_overlay_takes_axes_in_units_and_colour_pictures() -> None:
    figure = pictures.map_overlay(
        np.zeros((6, 9)), np.ones((2, 3)), extent=(0.5, 2.5, 0.0, 6.0), lower_origin=True,
        x_label="time in s", y_label="Hz", y_ticks={1.0: "250", 4.0: "1 k"},
    )  # fmt: skip
    axis = figure.axes[0]
    assert axis.get_xlim() == (0.5, 2.5)
    assert axis.get_ylim() == (0.0, 6.0)
    assert [tick.get_text() for tick in axis.get_yticklabels()] == ["250", "1 k"]
    assert (axis.get_xlabel(), axis.get_ylabel()) == ("time in s", "Hz")
    colour = pictures.map_overlay(np.zeros((5, 5, 3), dtype=np.uint8), None)
    assert len(colour.axes) == 1  # no map and no grey values: no bar
    assert len(colour.axes[0].images) == 1


@pytest.mark.parametrize(
    ("image", "anomaly_map", "limits", "words"),
    [
        (np.zeros((3, 8, 8)), np.ones((2, 2)), None, r"picture has shape \(3, 8, 8\).*channels last"),
        (np.zeros(8), np.ones((2, 2)), None, r"picture has shape \(8,\)"),
        (np.zeros((8, 8)), np.ones((1, 2, 2)), None, r"map has shape \(1, 2, 2\).*one sample"),
        (np.zeros((8, 8)), np.ones((0, 2)), None, r"map has shape \(0, 2\)"),
        (np.zeros((8, 8)), np.full((2, 2), np.nan), None, "map holds NaN"),
        (np.full((8, 8), np.inf), None, None, "picture holds NaN or infinity"),
        (np.full((8, 8, 3), 200.0), None, None, "neither uint8 nor floats in 0..1"),
        (np.zeros((8, 8)), np.ones((2, 2)), (1.0, 1.0), "smaller one first"),
    ],
)
def test_overlay_errors_are_sentences(
    image: NDArray[np.float64],
    anomaly_map: NDArray[np.float64] | None,
    limits: tuple[float, float] | None,
    words: str,
) -> None:
    with pytest.raises(EndlineError, match=words):
        pictures.map_overlay(image, anomaly_map, limits=limits)


def test_waveform_keeps_a_single_peak_of_a_long_signal_and_names_its_spans() -> None:
    signal = np.zeros(200_000)
    signal[123_456] = 5.0
    figure = pictures.waveform_figure(signal, 10_000.0, [("fold", 1.0, 5.0), ("unfold", 8.0, 12.0)])
    axis = figure.axes[0]
    assert axis.get_xlim() == (0.0, 20.0)
    drawn = axis.collections[0].get_paths()[0].vertices
    assert np.asarray(drawn)[:, 1].max() == 5.0
    assert [text.get_text() for text in axis.texts] == ["fold", "unfold"]
    assert len(axis.patches) == 2


@pytest.mark.parametrize(("signal", "rate"), [(np.zeros((2, 9)), 1.0), (np.zeros(0), 1.0), (np.zeros(9), 0.0)])
def test_waveform_errors_are_sentences(signal: NDArray[np.float64], rate: float) -> None:
    with pytest.raises(EndlineError, match="one channel and a positive rate"):
        pictures.waveform_figure(signal, rate)


def test_figures_are_drawn_once_as_files() -> None:
    history = pd.DataFrame({"part": "whole", "fold": 0, "member": 0, "epoch": [1, 2], "loss": [2.0, 1.0]})
    metrics = {"threshold": 0.5, "false_alarm_rate": 0.1, "recall": 0.9}
    files = figures.run_figures(groups(np.linspace(0, 1, 9)), metrics, curves(["all"]), history)
    assert list(files) == ["scores.png", "roc.png", "training.png"]
    assert all(content.startswith(b"\x89PNG") for content in files.values())
    assert files == figures.run_figures(groups(np.linspace(0, 1, 9)), metrics, curves(["all"]), history)
    nothing = groups(np.array([]))
    assert figures.run_figures(nothing, {"threshold": None}, curves([]), history.head(0)) == {}


def test_a_figure_has_200_dots_an_inch() -> None:
    noise = pictures.map_overlay(np.random.default_rng(0).random((300, 300)), None, bar_label="")
    assert style.encode_png(noise)[16:20] == (1040).to_bytes(4, "big")  # 5.2 inches


def test_a_ring_marks_the_largest_value() -> None:
    for lower, height in ((False, 0.75), (True, 0.25)):
        figure = pictures.map_overlay(np.zeros((8, 12)), np.eye(2), lower_origin=lower, hottest=(0.25, 0.9))
        rings = figure.axes[0].lines
        assert np.asarray(rings[0].get_xydata()).tolist() == [[0.9, height]]
        assert rings[0].get_transform() == figure.axes[0].transAxes


@pytest.mark.parametrize("fault", ["a//b", "../up", "a\x00b", "a\nb\tc", "\x1b[31mred", "<script>", "%s$x_{"])
def test_figures_of_faults_with_strange_names(fault):
    groups = pd.DataFrame({"group": ["normal", "normal", fault, fault], "score": [0.1, 0.2, 0.9, 1.0]})
    groups = groups.assign(flagged=[False, False, True, True])
    points = {"kind": fault, "false_alarm_rate": [0.0, 1.0], "recall": [0.0, 1.0], "auroc": 0.9}
    history = pd.DataFrame({"part": "fold", "member": 0, "epoch": [1, 2], "loss": [2.0, 1.0]})
    drawn = figures.run_figures(groups, {"threshold": 0.5}, pd.DataFrame(points), history)
    assert list(drawn) == ["scores.png", "roc.png", "training.png"]
    assert all(picture.startswith(b"\x89PNG") for picture in drawn.values())
