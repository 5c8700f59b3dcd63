"""Axes of curves: round numbers that are there whatever the range is."""

import pytest

from sbn_lightning.figures import Panel, draw_curves
from sbn_lightning.figures.ticks import log_ticks


@pytest.mark.parametrize(
    ("lowest", "highest", "expected"),
    [
        (0.01, 100, [0.01, 0.1, 1, 10, 100]),
        (0.15, 9, [0.2, 0.5, 1, 2, 5]),
        (1.3, 4.5, [1.5, 2, 3, 4]),  # no decade, and of 1, 2 and 5 only one is inside
        (35, 92, [40, 60, 80]),
        (23, 25, [23, 24, 25]),
        (23.1, 23.9, [23.2, 23.4, 23.6, 23.8]),
    ],
)
def test_logarithmic_axis_has_numbers_in_any_range(lowest: float, highest: float, expected: list[float]) -> None:
    assert log_ticks(lowest, highest)[: len(expected)] == pytest.approx(expected)


def axes_of(values: list[float], logarithmic: bool = False):  # type: ignore[no-untyped-def]
    """A panel with a curve over epochs 1, 2, …"""
    table = {epoch: {"tag": value} for epoch, value in enumerate(values, 1)}
    panels = [Panel("", {"tag": "-"}, logarithmic=logarithmic)] * 2
    return draw_curves({"run": [table]}, panels, "epoch", "").axes[1]


def test_numbers_stand_at_the_axis_of_a_loss_that_stays_in_one_decade() -> None:
    axes = axes_of([4.5, 3.0, 2.0, 1.3], logarithmic=True)
    axes.figure.canvas.draw()
    assert [label.get_text() for label in axes.get_yticklabels()] == ["1.5", "2", "3", "4"]


def test_epochs_have_no_fractions() -> None:
    axes = axes_of([0.1, 0.2, 0.3])
    axes.figure.canvas.draw()
    assert [label.get_text() for label in axes.get_xticklabels() if 1 <= label.get_position()[0] <= 3] == [
        "1",
        "2",
        "3",
    ]


def test_shares_begin_at_0_also_where_all_are_0() -> None:
    assert axes_of([0.4, 0.5]).get_ylim()[0] == 0
    assert axes_of([0.0, 0.0]).get_ylim() == (0, 1)


def test_values_that_are_no_numbers_do_not_decide_where_an_axis_ends() -> None:
    assert axes_of([0.4, float("nan"), float("inf")]).get_ylim() == (0, pytest.approx(0.432))
    assert axes_of([0.4, float("nan"), float("inf")], logarithmic=True).get_ylim()[1] < 1


def test_an_error_of_0_is_below_a_logarithmic_axis() -> None:
    lowest, highest = axes_of([10.0, 1.0, 0.0], logarithmic=True).get_ylim()
    assert 0 < lowest < 1 < 10 < highest
    assert axes_of([0.0, 0.0], logarithmic=True).get_yscale() == "linear"
