"""Every figure of the package in one style: Figures 2 and 3, curves and forest plots, for TensorBoard and for reports.

Draws on matplotlib's figures alone, without a window and without pyplot.
"""

from sbn_lightning.figures.curves import Panel, Table, draw_curves, smooth
from sbn_lightning.figures.forest import Interval, draw_forest
from sbn_lightning.figures.histogram import Histogram
from sbn_lightning.figures.logits import draw_logits
from sbn_lightning.figures.norms import draw_norms
from sbn_lightning.figures.style import COLORS, DARK, pixels, save_figure

__all__ = [
    "COLORS",
    "DARK",
    "Histogram",
    "Interval",
    "Panel",
    "Table",
    "draw_curves",
    "draw_forest",
    "draw_logits",
    "draw_norms",
    "pixels",
    "save_figure",
    "smooth",
]
