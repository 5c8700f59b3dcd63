"""What a forest plot shows of each row."""

import pytest

from sbn_lightning.figures import COLORS, Interval, draw_forest

ROWS = [
    Interval("softmax", "", 99.0, [98.5, 99.5], None, None, 99.0, COLORS[0]),
    Interval("SBN", "cannot tell", 99.2, [99.0, 99.0, 99.6], (98.4, 100.4), (98.2, 100.6), 99.0, COLORS[1]),
]


def test_each_value_is_a_dot_and_equal_ones_do_not_hide_each_other() -> None:
    (axes,) = draw_forest(ROWS, 0.5, "", "").axes
    dots = [(*line.get_xdata(), *line.get_ydata()) for line in axes.lines if line.get_marker() == "o"]
    assert [x for x, _ in dots] == [98.5, 99.5, 99.0, 99.0, 99.6]
    assert len(set(dots)) == 5


def test_thick_bar_is_over_seeds_and_the_longer_thin_one_for_other_images() -> None:
    (axes,) = draw_forest(ROWS, 0.5, "", "").axes
    bars = {tuple(line.get_xdata()): line.get_linewidth() for line in axes.lines if line.get_color() == COLORS[1]}
    assert bars[98.4, 100.4] > bars[98.2, 100.6]


def test_band_is_the_margin_around_what_a_row_is_compared_with() -> None:
    (axes,) = draw_forest(ROWS, 0.5, "", "").axes
    for band in axes.collections:
        assert (band.get_datalim(axes.transData).x0, band.get_datalim(axes.transData).x1) == (98.5, 99.5)


def test_axis_ends_where_values_cannot_be() -> None:
    (axes,) = draw_forest(ROWS, 0.5, "", "", (0, 100)).axes
    assert axes.get_xlim()[1] < 100.6


def test_rows_have_their_names_and_verdicts() -> None:
    (axes,) = draw_forest(ROWS, 0.5, "", "").axes
    assert {text.get_text() for text in axes.texts} >= {"softmax", "SBN", "cannot tell"}


@pytest.mark.filterwarnings("error")
def test_a_single_value_is_a_figure_too() -> None:
    draw_forest([Interval("one", "", 70.0, [70.0], None, None, None, COLORS[0])], 0.5, "", "")
