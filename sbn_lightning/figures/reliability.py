"""Reliability diagrams: how often a network is right where it is so sure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sbn_lightning.figures.style import COLORS, GRID, MARKERS, NARROW, SOFT, describe, two_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class SureImages:
    """The images of which a network is about equally sure; all but the number in percent."""

    images: int
    confidence: float  # the mean
    accuracy: float
    interval: tuple[float, float]  # of the accuracy


def draw_reliability(bins: Mapping[str, Sequence[SureImages]], subtitle: str) -> "Figure":
    """Accuracy by confidence above, with an interval of each point, and the number of images below.

    On the diagonal a network is as often right as it says; below it, it is too sure.

    Args:
        bins: By label, each sorted by confidence.
    """
    figure, (above, below) = two_panels(list(bins), subtitle, NARROW, markers=MARKERS)
    above.plot((0, 100), (0, 100), color=SOFT, linewidth=0.9, linestyle="--")
    for number, (color, marker, points) in enumerate(zip(COLORS, MARKERS, bins.values(), strict=False)):
        shift = 0.7 * (number - (len(bins) - 1) / 2)  # two intervals at the same place are both seen
        confidence = [point.confidence + shift for point in points]
        for x, point in zip(confidence, points, strict=True):
            above.plot((x, x), point.interval, color=color, linewidth=1, alpha=0.55)
        above.plot(confidence, [p.accuracy for p in points], color=color, marker=marker, markersize=4, linewidth=1.2)
        below.plot(confidence, [p.images for p in points], color=color, marker=marker, markersize=4, linewidth=1.2)
    describe(above, "Right, in percent (dashed: as often as it says)", "")
    describe(below, "Number of images (logarithmic)", "")
    above.set(xlim=(-1, 102), ylim=(0, 102))
    above.grid(axis="x", color=GRID, linewidth=0.7)
    below.set_yscale("log")
    below.set_ylim(bottom=0.7)
    below.yaxis.set_major_formatter("{x:,.0f}")
    below.minorticks_off()
    below.set_xlabel("largest probability, in percent", fontsize=9)
    return figure
