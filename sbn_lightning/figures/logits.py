"""Figure 2: the distributions of logits."""

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from sbn_lightning.figures.histogram import Histogram
from sbn_lightning.figures.style import COLORS, describe, two_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FINEST_BINS = 60
"""Largest number of bins on Figure 2's axis; the counted bins are merged to that."""


def draw_logits(runs: Mapping[str, tuple[Histogram, Histogram]], subtitle: str) -> "Figure":
    """Figure 2: all logits above, the true class's below, on the same axis; each run in bins of its own.

    Args:
        runs: (all logits, true class's logits) by label.
    """
    figure, panels = two_panels(list(runs), subtitle)
    every = [histogram for pair in runs.values() for histogram in pair]
    lower, upper = min(h.covering[0] for h in every), max(h.covering[1] for h in every)
    titles = ("All logits", "Logit of the true class")
    for axes, title, histograms in zip(panels, titles, zip(*runs.values(), strict=True), strict=True):
        for color, histogram in zip(COLORS, histograms, strict=False):
            inside = np.count_nonzero((histogram.edges > lower) & (histogram.edges < upper)) + 1
            shown = histogram.merged(math.ceil(inside / FINEST_BINS))
            axes.stairs(shown.density, shown.edges, fill=True, color=color, alpha=0.22, linewidth=0)
            axes.stairs(shown.density, shown.edges, color=color, linewidth=1.3)
        axes.set_xlim(lower, upper)
        axes.set_ylim(bottom=0)
        describe(axes, title, "density")
    cut = " (the outermost bins also hold what lies beyond)" if any(h.is_cut for h in every) else ""
    panels[1].set_xlabel(f"logit{cut}", fontsize=9)
    return figure
