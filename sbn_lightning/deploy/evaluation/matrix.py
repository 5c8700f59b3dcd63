"""The confusion matrix on a page: numbers for few classes, an image for many."""

import base64
import io

import numpy as np
from PIL import Image
from scipy.cluster.hierarchy import leaves_list, linkage
from scipy.spatial.distance import squareform

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.classes import cells_of
from sbn_lightning.report.render import Block, CountImage, Counts, Text

MOST_IN_NUMBERS = 25
"""Classes whose matrix is shown in numbers."""
MOST = 2000
"""Classes of which there is an image."""
FAINTEST = 0.15
"""Opacity of a cell with one image."""
RIGHT, WRONG = (40, 140, 210), (235, 110, 30)
"""Colors on and beside the diagonal, visible on light and dark pages; the root of the share of a row is the opacity."""


def matrix_block(answers: Answers, caption: str) -> Block:
    """The confusion matrix."""
    names = list(answers.class_names)
    classes = len(names)
    if classes > MOST:
        return Text("small", f"A confusion matrix of {classes:,} classes is not drawn; evaluation.json has its cells.")
    counts = np.zeros((classes, classes), np.int64)
    for label, taken, number in cells_of(answers):
        counts[label, taken] = number
    if classes <= MOST_IN_NUMBERS:
        return Counts(f"{caption}, in images", names, counts.tolist())
    order = neighbors(counts)
    counts = counts[np.ix_(order, order)]
    cells = [(int(row), int(column), int(counts[row, column])) for row, column in zip(*counts.nonzero(), strict=True)]
    text = f"{caption}: a row for each label, a column for each prediction; classes that are confused are neighbors"
    return CountImage(text, [names[one] for one in order], counts.sum(1).tolist(), cells, image_of(counts))


def neighbors(counts: np.ndarray) -> list[int]:
    """Return an order of the classes in which those are close that are taken for each other: the leaves of a
    hierarchical clustering (average linkage) by 1 − the mean share of one class that is taken for the other."""
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    distance = 1 - (shares + shares.T) / 2
    np.fill_diagonal(distance, 0)
    condensed = squareform(distance, checks=False)
    return leaves_list(linkage(condensed, "average")).tolist()


def image_of(counts: np.ndarray) -> str:
    """Return a PNG with a pixel for each cell, as a data URI."""
    shares = counts / counts.sum(1, keepdims=True).clip(1)
    pixels = np.zeros((*counts.shape, 4), np.uint8)
    pixels[..., :3] = WRONG
    pixels[np.arange(len(counts)), np.arange(len(counts)), :3] = RIGHT
    # The root, since most mistakes are a few of a hundred images; a single one is visible, too.
    pixels[..., 3] = (255 * np.where(shares, np.sqrt(shares).clip(FAINTEST), 0)).round()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG", optimize=True)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode()}"
