"""Risk–coverage curves: how many errors are left if a person takes the images of which a network is least sure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sbn_lightning.figures.style import COLORS, DASHES, NARROW, Floats, describe, two_panels
from sbn_lightning.figures.ticks import set_axis_from_0

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw_coverage(curves: Mapping[str, tuple[Floats, Floats, Floats]], subtitle: str) -> "Figure":
    """The error on the images that are left to the network above, and the probability from which on it answers below,
    both by the share that a person takes.

    Args:
        curves: By label: share that a person takes, error, and lowest probability, of each point, in percent.
    """
    figure, (above, below) = two_panels(list(curves), subtitle, NARROW)
    for color, dashes, (share, error, probability) in zip(COLORS, DASHES, curves.values(), strict=False):
        above.plot(share, error, color=color, linewidth=1.4, linestyle=dashes)
        below.plot(share, probability, color=color, linewidth=1.4, linestyle=dashes)
    describe(above, "Errors among the others, in percent", "")
    describe(below, "Lowest probability of an answer, in percent", "")
    set_axis_from_0(above)
    below.set(xlim=(-1, 101), ylim=(0, 104))
    below.set_xlabel("images left to a person, in percent", fontsize=9)
    return figure
