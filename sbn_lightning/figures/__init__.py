"""Every figure of the package in one style: Figures 2 and 3, curves and forest plots, for TensorBoard and for reports.

Draws on matplotlib's figures alone, without a window and without pyplot.
"""

from sbn_lightning.figures.confusion import draw_confusion
from sbn_lightning.figures.coverage import draw_coverage
from sbn_lightning.figures.curves import Panel, Table, draw_curves, smooth
from sbn_lightning.figures.forest import Interval, draw_forest
from sbn_lightning.figures.histogram import Histogram
from sbn_lightning.figures.images import draw_images
from sbn_lightning.figures.logits import draw_logits, draw_logits_of_one_run
from sbn_lightning.figures.norms import draw_norms, draw_norms_of_one_run
from sbn_lightning.figures.reliability import SureImages, draw_reliability
from sbn_lightning.figures.style import COLORS, DARK, pixels, save_figure, svg_of

__all__ = [
    "COLORS", "DARK", "Histogram", "Interval", "Panel", "SureImages", "Table",
    "draw_confusion", "draw_coverage", "draw_curves", "draw_forest", "draw_images", "draw_logits",
    "draw_logits_of_one_run", "draw_norms", "draw_norms_of_one_run", "draw_reliability",
    "pixels", "save_figure", "smooth", "svg_of",
]  # fmt: skip
