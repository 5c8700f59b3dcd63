"""Which classes are taken for which."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbn_lightning.figures.small import TEXT_SIZE, WIDTH, add_subtitle, small_figure
from sbn_lightning.figures.style import shortened

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Labels = NDArray[np.int64]

MOST_CLASSES = 12
"""Classes whose matrix can be read 350 pixels wide, with the counts in it."""
PAIRS = 15
"""Pairs that are named where there are more classes."""
ROW = 0.21
"""Inches of a pair's row."""
LONGEST_NAME = 10
"""Characters of a class's name beside the matrix."""


def draw_confusion(
    labels: Labels, predicted: Labels, class_names: Sequence[str], title: str, subtitle: str
) -> "Figure":
    """The confusion matrix of up to 12 classes; of more classes, the pairs that are confused most often.

    Args:
        labels: (N,) the class of each image.
        predicted: (N,) what each image is taken for.
    """
    if len(class_names) <= MOST_CLASSES:
        figure = draw_matrix(labels, predicted, class_names, title)
    else:
        figure = draw_pairs(labels, predicted, class_names, title)
        subtitle += "; confused most often:"
    add_subtitle(figure, subtitle)
    return figure


def draw_matrix(labels: Labels, predicted: Labels, class_names: Sequence[str], title: str) -> "Figure":
    """Counts, in gray by their share of the label's images."""
    number = len(class_names)
    counts = np.bincount(labels * number + predicted, minlength=number**2).reshape(number, number)
    names = shortened(class_names, LONGEST_NAME)
    margin = 0.3 + 0.065 * max(map(len, names))  # inches, on the left and below
    side = WIDTH - margin - 0.1
    figure = small_figure(title, 0.5 + side + margin)
    height = figure.get_figheight()
    axes = figure.add_axes((margin / WIDTH, margin / height, side / WIDTH, side / height))
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    axes.imshow(shares, cmap="Greys", vmin=0, vmax=1.2, aspect="auto")
    for row, column in zip(*counts.nonzero(), strict=True):
        color = "white" if shares[row, column] > 0.5 else "black"
        text = str(counts[row, column])
        axes.text(column, row, text, ha="center", va="center", fontsize=TEXT_SIZE - (number > 8), color=color)
    is_upright = max(map(len, names)) * number <= 40
    axes.set_xticks(range(number), names, fontsize=TEXT_SIZE, parse_math=False, rotation=0 if is_upright else 90)
    axes.set_yticks(range(number), names, fontsize=TEXT_SIZE, parse_math=False)
    axes.tick_params(length=0, pad=2)
    axes.set_xlabel("predicted class", fontsize=TEXT_SIZE, labelpad=2)
    axes.set_ylabel("label", fontsize=TEXT_SIZE, labelpad=2)
    return figure


def draw_pairs(labels: Labels, predicted: Labels, class_names: Sequence[str], title: str) -> "Figure":
    """A bar for each of the pairs (label, prediction) that the most images have: their share of the label's images."""
    number = len(class_names)
    wrong = labels != predicted
    pairs, counts = np.unique(labels[wrong] * number + predicted[wrong], return_counts=True)
    most = np.argsort(-counts, kind="stable")[:PAIRS]
    images = np.bincount(labels, minlength=number)
    figure = small_figure(title, 0.55 + ROW * max(1, len(most)))
    height = figure.get_figheight()
    axes = figure.add_axes((0.02, 0.05 / height, 0.96, 1 - 0.5 / height))
    axes.set_axis_off()
    for row, (pair, count) in enumerate(zip(pairs[most], counts[most], strict=True)):
        label, prediction = divmod(int(pair), number)
        axes.barh(row, count / images[label], 0.8, color="0.82")
        text = f"{class_names[label]} → {class_names[prediction]}"
        axes.text(0.01, row, text, fontsize=TEXT_SIZE, va="center", parse_math=False)
        axes.text(1, row, f"{count} of {images[label]}", fontsize=TEXT_SIZE, va="center", ha="right")
    axes.set(xlim=(0, 1), ylim=(max(1, len(most)) - 0.5, -0.5))
    return figure
