"""How well a network knows each class, and which classes it takes for each other."""

import msgspec
import numpy as np

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.run.interval import wilson


class Confused(msgspec.Struct, frozen=True):
    """A cell of the confusion matrix that is not 0."""

    label: str
    predicted: str
    images: int


class OfClass(msgspec.Struct, frozen=True):
    """How well a network knows one class; None where a number would be 0 / 0."""

    name: str
    images: int
    correct: int
    predicted: int  # images that are taken for this class
    recall: float | None  # correct / images: the accuracy on images of this class
    interval: tuple[float, float] | None  # Wilson's, 95 %, of the recall
    precision: float | None  # correct / predicted
    f1: float | None  # 2 · correct / (images + predicted)
    mistaken_for: str | None  # what its images are most often taken for besides
    mistaken: int  # how many of them


class Pair(msgspec.Struct, frozen=True):
    """Two classes that are taken for each other."""

    first: str
    second: str
    first_as_second: int  # images of the first that are taken for the second
    second_as_first: int
    images: int  # of both classes

    @property
    def confused(self) -> int:
        """The number of images of either class that are taken for the other."""
        return self.first_as_second + self.second_as_first


def cells_of(answers: Answers) -> list[tuple[int, int, int]]:
    """Return the label, the prediction and the number of images of each cell of the confusion matrix that is not 0."""
    classes = len(answers.class_names)
    cells, images = np.unique(answers.labels * classes + answers.predicted, return_counts=True)
    return [(*divmod(cell, classes), number) for cell, number in zip(cells.tolist(), images.tolist(), strict=True)]


def confusion_of(answers: Answers) -> list[Confused]:
    """Return the cells of the confusion matrix that are not 0, by label and prediction."""
    names = answers.class_names
    return [Confused(names[label], names[taken], number) for label, taken, number in cells_of(answers)]


def classes_of(answers: Answers) -> list[OfClass]:
    """Return each class in the order of the class names."""
    classes = len(answers.class_names)
    images, predicted, correct = (
        np.bincount(of, minlength=classes).tolist()
        for of in (answers.labels, answers.predicted, answers.labels[answers.right])
    )
    most: dict[int, tuple[int, int]] = {}  # {label: (images, what they are taken for)}
    for label, taken, n in cells_of(answers):
        if label != taken and n > most.get(label, (0, 0))[0]:
            most[label] = (n, taken)
    rows = []
    for number, (name, n, p, k) in enumerate(zip(answers.class_names, images, predicted, correct, strict=True)):
        mistaken, other = most.get(number, (0, 0))
        rows.append(
            OfClass(
                name, n, k, p,
                recall=k / n if n else None,
                interval=wilson(k, n) if n else None,
                precision=k / p if p else None,
                f1=2 * k / (n + p) if n + p else None,
                mistaken_for=answers.class_names[other] if mistaken else None,
                mistaken=mistaken,
            )
        )  # fmt: skip
    return rows


def pairs_of(answers: Answers) -> list[Pair]:
    """Return the pairs of classes of which images are taken for each other, the most of them first; in each pair, the
    class that is mistaken more often is the first."""
    names = answers.class_names
    images = np.bincount(answers.labels, minlength=len(names)).tolist()
    of_pairs: dict[tuple[int, int], list[int]] = {}
    for label, taken, n in cells_of(answers):
        if label != taken:
            of_pairs.setdefault((min(label, taken), max(label, taken)), [0, 0])[int(label > taken)] += n
    pairs = []
    for (a, b), (ab, ba) in of_pairs.items():
        first, second, there, back = (b, a, ba, ab) if ba > ab else (a, b, ab, ba)
        pairs.append(Pair(names[first], names[second], there, back, images[a] + images[b]))
    return sorted(pairs, key=lambda pair: -pair.confused)
