"""Curves over epochs or steps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sbn_lightning.figures.style import COLORS, describe, two_panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = Mapping[Any, Mapping[str, float | None]]
"""{step or epoch: {tag: value}}"""


@dataclass(frozen=True)
class Panel:
    """One of the two panels of a figure with curves."""

    title: str
    styles: Mapping[str, str]  # {tag: line style} of the curves in it
    factor: float = 1  # what their values are multiplied with
    logarithmic: bool = False


def draw_curves(
    runs: Mapping[str, Sequence[Table]], panels: Sequence[Panel], x_label: str, subtitle: str, smoothed: int = 0
) -> "Figure":
    """Two panels of curves over the same axis: of each label the mean over its runs, and the range from the lowest to
    the highest.

    Args:
        runs: What each run logged, by label.
        smoothed: Number of parts of a curve, over each of which it is smoothed; 0 for the curves as they are.
    """
    from matplotlib.ticker import LogLocator

    figure, all_axes = two_panels(list(runs), subtitle)
    for axes, panel in zip(all_axes, panels, strict=True):
        for color, tables in zip(COLORS, runs.values(), strict=False):
            for tag, style in panel.styles.items():
                logged = [{x: row[tag] for x, row in table.items() if row.get(tag) is not None} for table in tables]
                curves = [smooth(curve, smoothed) if smoothed else curve for curve in logged if curve]
                if curves:
                    draw_bundle(axes, curves, panel.factor, color=color, linestyle=style)
        describe(axes, panel.title, "")
        if panel.logarithmic:
            axes.set_yscale("log")
            axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))  # some also where the curves stay in one decade
            axes.yaxis.set_major_formatter("{x:g}")
            axes.minorticks_off()
    all_axes[1].set_xlabel(x_label, fontsize=9)
    return figure


def draw_bundle(axes: Any, curves: Sequence[Mapping[Any, Any]], factor: float, **style: Any) -> None:
    """The mean of curves {x: value} at the places that all of them have, and their range."""
    places = sorted(set.intersection(*map(set, curves)))
    values = factor * np.array([[curve[x] for x in places] for curve in curves])
    if len(curves) > 1:
        axes.fill_between(places, values.min(0), values.max(0), color=style["color"], alpha=0.15, linewidth=0)
    marker = "o" if len(places) == 1 else ""
    axes.plot(places, values.mean(0), linewidth=1.4, marker=marker, markersize=3, **style)


def smooth(curve: Mapping[Any, Any], parts: int) -> dict[Any, float]:
    """The running mean of a curve {x: value} over the length of one of its parts (over less at both ends), thinned to
    the number of points that can be distinguished."""
    window = np.ones(len(curve) // parts // 2 * 2 + 1)
    sums, counts = (np.convolve(values, window, "same") for values in (list(curve.values()), np.ones(len(curve))))
    points = list(zip(curve, (sums / counts).tolist(), strict=True))
    return dict(points[:: max(1, len(points) // (4 * parts))])
