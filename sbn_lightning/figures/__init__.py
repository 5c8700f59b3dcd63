"""Every figure of the package in one style: Figures 2 and 3 and curves, for TensorBoard and for reports.

Draws on matplotlib's figures alone, without a window and without pyplot.
"""

from sbn_lightning.figures.confusion import draw_confusion
from sbn_lightning.figures.curves import Panel, Table, draw_curves, smooth
from sbn_lightning.figures.histogram import Histogram
from sbn_lightning.figures.images import draw_images
from sbn_lightning.figures.logits import draw_logits, draw_logits_of_one_run
from sbn_lightning.figures.norms import draw_norms, draw_norms_of_one_run
from sbn_lightning.figures.style import pixels, save_svg

__all__ = [
    "Histogram",
    "Panel",
    "Table",
    "draw_curves",
    "draw_logits",
    "draw_norms",
    "draw_logits_of_one_run",
    "draw_norms_of_one_run",
    "draw_confusion",
    "draw_images",
    "pixels",
    "save_svg",
    "smooth",
]
