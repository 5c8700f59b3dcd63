"""Images of which a network's answer is worth a look, as small pictures for a page."""

import base64
import io

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.run.calibration import Labels

SHOWN = 20
"""Images of each kind."""
LARGEST = 112
"""Pixels of a picture's longer side."""
LONGEST_NAME = 24
"""Characters of a class's name below a picture."""
LONGEST_FILE = 36
"""Characters of a file's name below a picture."""
SMALLEST_JPEG = 48
"""Pixels of the longer side from which on a picture is a JPEG; a smaller one is a PNG, which is exact."""


class Shown(msgspec.Struct, frozen=True):
    """An image, and the answer to it."""

    row: int  # its number among the images that are evaluated, from 0
    image: str  # its file
    label: str
    predicted: str
    probability: float  # of the predicted class
    probability_of_label: float


def confident_mistakes(answers: Answers) -> Labels:
    """Return the rows of the wrong answers with the largest probability, the largest first."""
    wrong = np.flatnonzero(~answers.right)
    return wrong[np.argsort(-answers.confidence[wrong], kind="stable")[:SHOWN]]


def unsure_hits(answers: Answers) -> Labels:
    """Return the rows of the right answers with the smallest probability, the smallest first."""
    right = np.flatnonzero(answers.right)
    return right[np.argsort(answers.confidence[right], kind="stable")[:SHOWN]]


def shown(answers: Answers, rows: Labels, image_names: list[str]) -> list[Shown]:
    """Return what is to be said of images."""
    names = answers.class_names
    return [
        Shown(
            row,
            image_names[row],
            names[answers.labels[row]],
            names[answers.predicted[row]],
            float(answers.confidence[row]),
            float(answers.of_label[row]),
        )
        for row in rows.tolist()
    ]


def file_line(image: str) -> str:
    """Return the line below a picture that names its file. A long path is cut at its start, to keep the file's name."""
    return image if len(image) <= LONGEST_FILE else "…" + image[1 - LONGEST_FILE :]


def data_uri(pixels: NDArray[np.uint8]) -> str:
    """Return an image (3, H, W) as a data URI, at most LARGEST pixels wide and high."""
    picture = Image.fromarray(np.ascontiguousarray(pixels.transpose(1, 2, 0)))
    picture.thumbnail((LARGEST, LARGEST), Image.Resampling.LANCZOS)
    stream = io.BytesIO()
    if max(picture.size) < SMALLEST_JPEG:
        kind = "png"
        picture.save(stream, "PNG", optimize=True)
    else:
        kind = "jpeg"
        picture.save(stream, "JPEG", quality=85)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
