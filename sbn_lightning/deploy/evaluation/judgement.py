"""All that is said of a network's answers, in numbers: the content of evaluation.json."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.calibration import Calibration, calibration_of
from sbn_lightning.deploy.evaluation.classes import Confused, OfClass, Pair, classes_of, confusion_of, pairs_of
from sbn_lightning.deploy.evaluation.coverage import Coverage, coverage_of
from sbn_lightning.deploy.evaluation.gallery import Shown, confident_mistakes, shown, unsure_hits
from sbn_lightning.run.interval import wilson


class Network(msgspec.Struct, frozen=True):
    """Whose answers they are."""

    name: str  # of the run, for people
    model: str  # its backbone and head, for people; empty where no record of the run says it
    checkpoint: str
    sha256: str  # of the checkpoint's file


class Judged(msgspec.Struct, frozen=True):
    """How well a network does on labelled images. Shares are fractions in [0, 1]."""

    network: Network
    class_names: list[str]
    images: int
    correct: int
    interval: tuple[float, float]  # Wilson's, 95 %, of the accuracy
    measures: dict[str, float]  # by name, as `sbn test` writes them
    calibration: Calibration
    coverage: Coverage
    confused_pairs: list[Pair]  # most images first
    classes: list[OfClass]
    confusion_matrix: list[Confused]  # the cells that are not 0
    confident_mistakes: list[Shown]
    unsure_hits: list[Shown]

    @property
    def accuracy(self) -> float:
        """The share of images that are right."""
        return self.correct / self.images


class Differing(msgspec.Struct, frozen=True):
    """An image of which exactly one of two networks is right."""

    row: int
    image: str
    label: str
    predicted: tuple[str, str]
    probability_of_label: tuple[float, float]


class Compared(msgspec.Struct, frozen=True):
    """Two networks on the same images."""

    both: int  # images that both have right
    only_first: int
    only_second: int
    neither: int
    p: float  # of McNemar's exact test
    differing: list[Differing]  # the largest differences of the label's probability first


class EvaluatedOn(msgspec.Struct, frozen=True):
    """The images."""

    name: str  # for people
    images: int
    fingerprint: str | None = None  # of the run's data, where they are from there
    remarks: list[str] = []  # what people must know of them, such as which others are left out; sentences
    unreadable: list[str] = []  # files that could not be read, and why


class Evaluation(msgspec.Struct, frozen=True):
    """evaluation.json."""

    version: Literal[1]
    command: str
    made: str  # when, in UTC, as ISO 8601 writes it
    versions: dict[str, str]  # of this program and of what computes
    data: EvaluatedOn
    networks: list[Judged]
    comparison: Compared | None = None


def judge(answers: Answers, network: Network, image_names: Sequence[str], held_out: Answers | None = None) -> Judged:
    """Return everything that the page and the JSON file say about a network's answers.

    Args:
        answers: To the images that it is judged by.
        network: Whose they are.
        image_names: Of the images.
        held_out: Its answers to other images, on which a temperature is fitted; None to cross-fit one.
    """
    names = list(image_names)
    return Judged(
        network,
        list(answers.class_names),
        answers.images,
        answers.correct,
        wilson(answers.correct, answers.images),
        answers.measures(),
        calibration_of(answers, held_out),
        coverage_of(answers),
        pairs_of(answers),
        classes_of(answers),
        confusion_of(answers),
        shown(answers, confident_mistakes(answers), names),
        shown(answers, unsure_hits(answers), names),
    )
