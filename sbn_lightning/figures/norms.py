"""Figure 3: how large each class's weights are."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sbn_lightning.figures.style import COLORS, SIZE, Floats, describe, two_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAR_WIDTH = 0.45
"""Inches that each class of Figure 3 takes, where that is more than `SIZE` in all."""
LONGEST_NAME = 14
"""Characters of a class's name that fit below a bar."""


def draw_norms(runs: Mapping[str, tuple[Floats, Floats]], class_names: Sequence[str], subtitle: str) -> "Figure":
    """Figure 3: the norm of each class's weights, as trained above and as inference uses them below.

    The bars show the first classes, those that have a name; the dashed line is the mean over all classes.

    Args:
        runs: (‖w‖, ‖w′‖) of all classes, by label.
    """
    names = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in class_names]
    longest = max(map(len, names))
    size = (max(SIZE[0], BAR_WIDTH * len(names)), SIZE[1])
    figure, panels = two_panels(list(runs), subtitle, size, bottom=0.08 + 0.009 * longest)
    titles = ("As trained: ‖w‖", "As inference uses them, normalization folded in: ‖w′‖")
    positions, width = np.arange(len(names)), 0.8 / len(runs)
    for axes, title, norms_of_runs in zip(panels, titles, zip(*runs.values(), strict=True), strict=True):
        for number, (color, norms) in enumerate(zip(COLORS, norms_of_runs, strict=False)):
            shift = (number - (len(runs) - 1) / 2) * width
            axes.bar(positions + shift, norms[: len(names)], width, color=color)
            axes.axhline(norms.mean(), color=color, linestyle="--", linewidth=1)
        describe(axes, title, "norm")
        axes.tick_params(axis="x", length=0)
    slanted = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if longest > 5 else {}
    panels[1].set_xticks(positions, names, parse_math=False, **slanted)
    return figure
