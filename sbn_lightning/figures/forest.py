"""A forest plot: values of several rows with their intervals, beside one that they are compared with."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sbn_lightning.figures.style import BAND, GRID, SOFT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH, ROW, ABOVE, BELOW = 4.6, 0.56, 0.4, 0.55
"""Inches: the whole width, the height of a row, and the margins above and below all rows."""
LETTERS = 55
"""Of a row's name and verdict together; more are smaller."""
SIDE = 0.12
"""Inches to the left and right of the axis."""


@dataclass(frozen=True)
class Interval:
    """A row of a forest plot."""

    label: str
    verdict: str  # in a few words
    mean: float
    values: Sequence[float]  # of single runs
    over_seeds: tuple[float, float] | None  # a thick bar; None where there is none
    other_images: tuple[float, float] | None  # a thin bar, at least as long
    reference: float | None  # what it is compared with, a vertical line
    color: str


def draw_forest(
    rows: Sequence[Interval],
    margin: float,
    x_label: str,
    subtitle: str,
    limits: tuple[float, float] = (-math.inf, math.inf),
) -> "Figure":
    """One row below the other: its name and verdict, a dot for each value, a line at the mean, and its intervals.

    Args:
        margin: Half the width of the band around a row's reference, in which a difference does not matter.
        limits: Between which all values are; the axis does not reach beyond, though intervals may.
    """
    from matplotlib.figure import Figure

    height = ABOVE + ROW * len(rows) + BELOW
    figure = Figure(figsize=(WIDTH, height), facecolor="white", dpi=100)
    left = SIDE / WIDTH
    axes = figure.add_axes((left, BELOW / height, 1 - 2 * left, ROW * len(rows) / height))
    figure.text(left, 1 - 0.27 / height, subtitle, fontsize=9, color=SOFT, parse_math=False)
    ends: list[float] = []
    for number, row in enumerate(rows):
        draw_row(axes, row, -number, margin)
        band = () if row.reference is None else (row.reference - margin, row.reference + margin)
        ends += [*(row.over_seeds or ()), *(row.other_images or ()), *row.values, row.mean, *band]
    lowest, highest = max(min(ends), limits[0]), min(max(ends), limits[1])
    room = 0.04 * (highest - lowest) or margin
    axes.set_xlim(lowest - room, highest + room)
    axes.set_ylim(0.5 - len(rows), 0.5)
    axes.set_yticks([])
    axes.spines[["top", "left", "right"]].set_visible(False)
    axes.tick_params(labelsize=8.5)
    axes.locator_params(axis="x", nbins=6)
    axes.set_xlabel(x_label, fontsize=9)
    return figure


def draw_row(axes: Any, row: Interval, y: float, margin: float) -> None:
    """A row whose middle is at the height y; rows are 1 apart."""
    if row.reference is not None:
        heights = (y - 0.5, y + 0.5)
        axes.fill_betweenx(heights, row.reference - margin, row.reference + margin, color=BAND, linewidth=0, zorder=0)
        axes.plot((row.reference, row.reference), (y - 0.5, y + 0.12), color=SOFT, linewidth=0.9, zorder=1)
    if y:
        axes.axhline(y + 0.5, color=GRID, linewidth=0.7, zorder=0.5)
    size = min(9.5, 9.5 * LETTERS / (len(row.label) + len(row.verdict)))
    text = {"fontsize": size, "transform": axes.get_yaxis_transform(), "va": "center", "parse_math": False}
    axes.text(0.01, y + 0.28, row.label, **text)
    axes.text(0.99, y + 0.28, row.verdict, ha="right", color=SOFT, **text)
    bar = y - 0.22
    for ends, width in ((row.other_images, 1.2), (row.over_seeds, 4.5)):
        if ends:
            axes.plot(ends, (bar, bar), color=row.color, linewidth=width, solid_capstyle="butt", zorder=2)
    axes.plot(row.mean, bar, marker="|", markersize=11, markeredgewidth=1.6, color=row.color, zorder=3)
    middle = (len(row.values) - 1) / 2
    for number, value in enumerate(row.values):  # equal values stand above each other
        axes.plot(
            value, y + 0.02 + 0.07 * (number - middle) / max(1.0, middle),
            marker="o", markersize=4, markerfacecolor=row.color, markeredgecolor="white", markeredgewidth=0.5, zorder=3,
        )  # fmt: skip
