"""The figures of an evaluation, drawn from its numbers."""

from collections.abc import Sequence

import numpy as np

from sbn_lightning import figures
from sbn_lightning.deploy.evaluation.calibration import Reliability
from sbn_lightning.deploy.evaluation.judgement import Judged
from sbn_lightning.figures import SureImages
from sbn_lightning.figures.style import shortened
from sbn_lightning.report.render import Picture

LONGEST_LABEL = 30
"""Characters of a network's name in a figure."""


def picture_of_reliability(judged: Judged, number: int, is_beside: bool) -> Picture:
    """The reliability diagram, before and after temperature scaling.

    Args:
        number: Of the network on its page, from 0.
        is_beside: Whether it stands beside the text before it.
    """
    found = judged.calibration
    bins = {"as it is": points_of(found.before)}
    if found.after:
        bins["with a temperature"] = points_of(found.after)
    (name,) = shortened([judged.network.name], LONGEST_LABEL)
    caption = (
        f"Reliability of {judged.network.name}: how often it is right, by its probability. Bars are 95 % intervals."
    )
    svg = figures.svg_of(figures.draw_reliability(bins, name))
    return Picture(f"reliability-{number}", caption, svg, is_beside)


def points_of(found: Reliability) -> list[SureImages]:
    """The points of a reliability diagram, in percent."""
    return [
        SureImages(one.images, 100 * one.confidence, 100 * one.accuracy, (100 * one.interval[0], 100 * one.interval[1]))
        for one in found.bins
    ]


def picture_of_coverage(networks: Sequence[Judged]) -> Picture:
    """The risk–coverage curves of all networks of a page."""
    labels = shortened([judged.network.name for judged in networks], LONGEST_LABEL)
    curves = {}
    for label, judged in zip(labels, networks, strict=True):
        points = np.array([(1 - one.coverage, one.risk, one.probability) for one in judged.coverage.points])
        share, error, probability = 100 * points.T
        curves[label] = share, error, probability
    caption = (
        "Risk–coverage curve. Above, the errors among the images that the network answers; below, the lowest "
        "probability with which it answers."
    )
    svg = figures.svg_of(figures.draw_coverage(curves, "least sure images left to a person"))
    return Picture("coverage", caption, svg, is_beside=True)
