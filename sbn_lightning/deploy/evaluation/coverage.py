"""How right a network is if the images that it is least sure of are left to a person."""

import msgspec
import numpy as np

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.run.calibration import Floats
from sbn_lightning.run.interval import wilson

LEFT = (0.0, 0.05, 0.1, 0.2, 0.5)
"""Shares that are left to a person."""
POINTS = 200
"""Points of the curve that are kept."""


class Left(msgspec.Struct, frozen=True):
    """How well the network does on the other images if the least sure ones are left to a person."""

    to_person: int  # number of images
    answered: int  # by the network
    correct: int  # of those; where images are tied in confidence, the expected number, rounded
    interval: tuple[float, float]  # Wilson's, 95 %, of the accuracy
    probability: float  # the lowest that the network answers with


class Point(msgspec.Struct, frozen=True):
    """A point of the risk–coverage curve."""

    coverage: float  # the share of images that the network answers
    risk: float  # the share of wrong answers among them
    probability: float  # the lowest among them


class Coverage(msgspec.Struct, frozen=True):
    """The risk–coverage curve.

    Attributes:
        area: The mean of the risk over all coverages k / N, k = 1, …, N; smaller is better. Source: Geifman and
            El-Yaniv 2017.
        best_area: The area if the network were less sure of every mistake than of any right answer.
        worst_area: The area if its confidence told nothing: its error.
    """

    area: float
    best_area: float
    worst_area: float
    left: list[Left]
    points: list[Point]


def coverage_of(answers: Answers) -> Coverage:
    """Return the risk–coverage curve by the largest probability of each image."""
    order = np.argsort(-answers.confidence, kind="stable")
    confidence, wrong = answers.confidence[order], ~answers.right[order]
    count = answers.images
    mistakes = np.cumsum(without_order_of_ties(confidence, wrong))
    answered = np.arange(1, count + 1)
    risk = mistakes / answered
    total = int(wrong.sum())
    best = np.clip(answered - (count - total), 0, None) / answered
    shown = np.unique(np.linspace(1, count, min(count, POINTS)).round().astype(int))
    points = [Point(n / count, float(risk[n - 1]), float(confidence[n - 1])) for n in shown.tolist()]
    rows: dict[int, Left] = {}
    for share in LEFT:
        to_person = int(share * count)
        n = count - to_person
        correct = round(float(n - mistakes[n - 1]))
        rows.setdefault(to_person, Left(to_person, n, correct, wilson(correct, n), float(confidence[n - 1])))
    return Coverage(float(risk.mean()), float(best.mean()), total / count, list(rows.values()), points)


def without_order_of_ties(confidence: Floats, wrong: np.ndarray) -> Floats:
    """Return for each image, sorted by confidence, the share of mistakes among those that have the same confidence, so
    that the curve does not depend on their order."""
    _, group, sizes = np.unique(-confidence, return_inverse=True, return_counts=True)
    return (np.bincount(group, wrong) / sizes)[group]
