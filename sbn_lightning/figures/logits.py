"""Figure 2: the distributions of logits."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from sbn_lightning.figures.histogram import Histogram
from sbn_lightning.figures.small import GRAY, TEXT_SIZE, describe_small, small_panels
from sbn_lightning.figures.style import COLORS, Floats, describe, two_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINEST_BINS = 60
"""Largest number of bins on Figure 2's axis; the counted bins are merged to that."""
TITLES = ("All logits", "Logit of the true class")
LITTLE = 0.001
"""Share of the logits that may lie beyond the common axis without a word."""


def draw_logits(runs: Mapping[str, tuple[Histogram, Histogram]], subtitle: str) -> "Figure":
    """Figure 2: all logits above, the true class's below, on the same axis; each run in bins of its own.

    Args:
        runs: (all logits, true class's logits) by label.
    """
    figure, panels = two_panels(list(runs), subtitle)
    every = [histogram for pair in runs.values() for histogram in pair]
    lower, upper = min(h.covering[0] for h in every), max(h.covering[1] for h in every)
    for axes, title, histograms in zip(panels, TITLES, zip(*runs.values(), strict=True), strict=True):
        for color, histogram in zip(COLORS, histograms, strict=False):
            shown = merged_within(histogram, lower, upper)
            draw_shape(axes, shown.density, shown.edges, color, alpha=0.22)
        axes.set_xlim(lower, upper)
        axes.set_ylim(bottom=0)
        describe(axes, title, "density")
    cut = " (the outermost bins also hold what lies beyond)" if any(h.is_cut for h in every) else ""
    panels[1].set_xlabel(f"logit{cut}", fontsize=9)
    return figure


def draw_logits_of_one_run(histograms: tuple[Histogram, Histogram], num_classes: int, title: str) -> "Figure":
    """Figure 2 of one run: on the axis of all runs on as many classes, with heights relative to the highest bar.

    So two pictures can be compared by eye; see `common_axis`.

    Args:
        histograms: All logits, true class's logits.
    """
    figure, panels = small_panels(title, height=2.75, left=0.14, bottom=0.4)
    lower, upper = common_axis(num_classes)
    for axes, name, histogram, alpha in zip(panels, TITLES, histograms, (0.45, 0.12), strict=True):
        shown = merged_within(histogram, *histogram.covering)
        draw_shape(axes, shown.density / (shown.density.max() or 1), shown.edges, GRAY, alpha)
        axes.set_xlim(lower, upper)
        axes.set_ylim(0, 1.05)
        axes.set_yticks([])
        beyond = 1 - histogram.share_within(lower, upper)
        describe_small(axes, f"{name} ({100 * beyond:.1f} % of them beyond the axis)" if beyond > LITTLE else name)
        axes.grid(axis="x", color="0.9", linewidth=0.7)
    panels[0].tick_params(labelbottom=False)
    panels[1].set_xlabel("logit (the same axis for every run)", fontsize=TEXT_SIZE, labelpad=2)
    return figure


def common_axis(num_classes: int) -> tuple[float, float]:
    """Return the axis that Figure 2 has for every head on a dataset.

    A class whose logit is larger than all others by g = log(99 (C − 1)) has a probability of 0.99 or more. The axis is
    from −1.5 g to 3 g: −10 to 20 for 10 classes, −14 to 28 for 100.
    """
    gap = math.log(99 * (num_classes - 1))
    return -1.5 * gap, 3 * gap


def merged_within(histogram: Histogram, lower: float, upper: float) -> Histogram:
    """Return a histogram with at most `FINEST_BINS` bins between two values."""
    inside = np.count_nonzero((histogram.edges > lower) & (histogram.edges < upper)) + 1
    return histogram.merged(math.ceil(inside / FINEST_BINS))


def draw_shape(axes: Any, heights: Floats, edges: Floats, color: str, alpha: float) -> None:
    axes.stairs(heights, edges, fill=True, color=color, alpha=alpha, linewidth=0)
    axes.stairs(heights, edges, color=color, linewidth=1.3)
