"""Figure 3: how large each class's weights are."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from sbn_lightning.figures.small import GRAY, TEXT_SIZE, WIDTH, describe_small, small_panels
from sbn_lightning.figures.style import COLORS, SIZE, Floats, describe, shortened, two_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BAR_WIDTH, SMALL_BAR_WIDTH = 0.45, 0.2
"""Inches that each class of Figure 3 takes at least, the second of them in a small picture."""
LONGEST_NAME = 14
"""Characters of a class's name that fit below a bar."""
UPRIGHT = 40
"""Characters of all classes' names together that fit beside each other below a small picture."""
TITLES = ("As trained: ‖w‖", "As inference uses them, normalization folded in: ‖w′‖")
SHORT_TITLES = ("Norm ‖w‖ as trained", "Norm ‖w′‖ as inference uses it")
ENDS_AS_TRAINED = (3.0, 10.0, 30.0, 100.0, 1000.0, 10000.0)
ENDS_AS_USED = (0.5, 100.0)
"""The axes that are common to all runs: from 0 to the first of the ends that holds all norms as trained; and a
logarithmic one, longer by whole decades where a norm does not fit in."""


def draw_norms(runs: Mapping[str, tuple[Floats, Floats]], class_names: Sequence[str], subtitle: str) -> "Figure":
    """Figure 3: the norm of each class's weights, as trained above and as inference uses them below.

    The bars show the first classes, those that have a name; the dashed line is the mean over all classes.

    Args:
        runs: (‖w‖, ‖w′‖) of all classes, by label.
    """
    names = shortened(class_names, LONGEST_NAME)
    longest = max(map(len, names))
    size = (max(SIZE[0], BAR_WIDTH * len(names)), SIZE[1])
    figure, panels = two_panels(list(runs), subtitle, size, bottom=0.08 + 0.009 * longest)
    positions, width = np.arange(len(names)), 0.8 / len(runs)
    for axes, title, norms_of_runs in zip(panels, TITLES, zip(*runs.values(), strict=True), strict=True):
        for number, (color, norms) in enumerate(zip(COLORS, norms_of_runs, strict=False)):
            shift = (number - (len(runs) - 1) / 2) * width
            axes.bar(positions + shift, norms[: len(names)], width, color=color)
            axes.axhline(norms.mean(), color=color, linestyle="--", linewidth=1)
        describe(axes, title, "norm")
        axes.tick_params(axis="x", length=0)
    slanted = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if longest > 5 else {}
    panels[1].set_xticks(positions, names, parse_math=False, **slanted)
    return figure


def draw_norms_of_one_run(norms: tuple[Floats, Floats], class_names: Sequence[str], title: str) -> "Figure":
    """Figure 3 of one run, on axes that are common to all runs, so that two pictures can be compared by eye.

    A linear layer starts at a norm of 1/√3, whatever its size. With weight decay it ends between 0.4 and 3; with a
    normalization folded in, anywhere up to 70.

    Args:
        norms: (‖w‖, ‖w′‖) of all classes.
        class_names: Of the first classes, which are shown.
    """
    names = shortened(class_names, LONGEST_NAME)
    is_upright = sum(map(len, names)) <= UPRIGHT
    slanted = {} if is_upright else {"rotation": 40, "ha": "right", "rotation_mode": "anchor"}
    bottom = 0.22 if is_upright else 0.2 + 0.04 * max(map(len, names))
    width = max(WIDTH, 0.35 + SMALL_BAR_WIDTH * len(names))
    figure, (trained, used) = small_panels(title, 2.5 + bottom, left=0.34, bottom=bottom, width=width)
    positions = np.arange(len(names))
    trained.bar(positions, norms[0][: len(names)], 0.7, color=GRAY)
    highest = finite(norms[0]).max(initial=0)
    trained.set_ylim(0, next((end for end in ENDS_AS_TRAINED if highest <= end), ENDS_AS_TRAINED[-1]))
    used.set_yscale("log")
    used.plot(positions, norms[1][: len(names)], "o", color=GRAY, markersize=5)
    used.set_ylim(*decades_around(norms[1]))
    used.minorticks_off()
    used.yaxis.set_major_formatter("{x:g}")
    for axes, name, values in zip((trained, used), SHORT_TITLES, norms, strict=True):
        axes.axhline(values.mean(), color=GRAY, linestyle="--", linewidth=1)
        describe_small(axes, f"{name}, mean {values.mean():.2g} (dashed)")
        axes.grid(axis="y", color="0.9", linewidth=0.7)
        axes.set_xlim(-0.6, len(names) - 0.4)
    trained.set_xticks([])  # each tick takes a millisecond
    used.set_xticks(positions, names, fontsize=TEXT_SIZE, parse_math=False, **slanted)
    return figure


def decades_around(norms: Floats) -> tuple[float, float]:
    """Return the ends of the logarithmic axis."""
    lower, upper = ENDS_AS_USED
    while upper < finite(norms).max(initial=0):
        upper *= 10
    while lower > finite(norms).min(initial=np.inf):
        lower /= 10
    return lower, upper


def finite(norms: Floats) -> Floats:
    """The norms that an axis can show: not those of a diverged run, and no 0."""
    return norms[np.isfinite(norms) & (norms > 0)]
