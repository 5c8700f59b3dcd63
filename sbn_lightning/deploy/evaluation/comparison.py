"""Two networks beside each other on the same images."""

from collections.abc import Sequence

import numpy as np

from sbn_lightning.deploy.evaluation.answers import Answers
from sbn_lightning.deploy.evaluation.gallery import SHOWN
from sbn_lightning.deploy.evaluation.judgement import Compared, Differing
from sbn_lightning.report.statistics import mcnemar


def compare(first: Answers, second: Answers, image_names: Sequence[str]) -> Compared:
    """Return how the answers of two networks to the same images differ.

    Args:
        first: Answers of one; the class names of the other may be in another order.
        second: Answers of the other to the same images, in the same order.
        image_names: Of the images.
    """
    a, b = first.right, second.right
    only_first, only_second = int((a & ~b).sum()), int((b & ~a).sum())
    gap = np.abs(first.of_label - second.of_label)
    rows = np.flatnonzero(a != b)
    rows = rows[np.argsort(-gap[rows], kind="stable")[:SHOWN]]
    differing = [
        Differing(
            row,
            image_names[row],
            first.class_names[first.labels[row]],
            (first.class_names[first.predicted[row]], second.class_names[second.predicted[row]]),
            (float(first.of_label[row]), float(second.of_label[row])),
        )
        for row in rows.tolist()
    ]
    p = mcnemar(only_first, only_second)
    return Compared(int((a & b).sum()), only_first, only_second, int((~a & ~b).sum()), p, differing)
