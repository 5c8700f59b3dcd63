"""Images with a caption each."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbn_lightning.figures.small import WIDTH, add_subtitle, small_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = 4
CELL, GAP, LINE = 0.72, 0.14, 0.115
"""Inches: the longer side of an image, the space between two, and a line of a caption."""
CAPTION_SIZE = 7
"""Points."""
LONGEST_LINE = 14
"""Characters of a caption's line that fit below an image."""


def draw_images(images: NDArray[np.uint8], captions: Sequence[str], title: str, subtitle: str) -> "Figure":
    """Images in rows of four, each with its caption below, whose lines are cut where they are too long.

    Args:
        images: (n, 3, H, W), 0 to 255; one or more.
        captions: Of each image.
    """
    lines = 1 + max(caption.count("\n") for caption in captions)
    row_height = CELL + GAP + LINE * lines
    top = 0.5
    figure = small_figure(title, top + row_height * -(-len(images) // COLUMNS))
    height = figure.get_figheight()
    add_subtitle(figure, subtitle)
    axes = figure.add_axes((0, 0, 1, 1))  # in inches
    axes.set_axis_off()
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(number, COLUMNS)
        left, upper = 0.1 + column * (CELL + GAP), height - top - row * row_height
        tall, wide = CELL * np.array(image.shape[1:]) / max(image.shape[1:])
        axes.imshow(image.transpose(1, 2, 0), extent=(left, left + wide, upper - tall, upper), interpolation="nearest")
        text = "\n".join(shortened(line) for line in caption.split("\n"))
        axes.text(left, upper - CELL - 0.03, text, fontsize=CAPTION_SIZE, va="top", linespacing=1.1, parse_math=False)
    axes.set(xlim=(0, WIDTH), ylim=(0, height), aspect="auto")
    return figure


def shortened(line: str) -> str:
    """A line of a caption as it fits below an image."""
    return line if len(line) <= LONGEST_LINE else line[: LONGEST_LINE - 1] + "…"
