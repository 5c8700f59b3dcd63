"""Curves over epochs or steps."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sbn_lightning.figures.style import COLORS, MARKERS, describe, two_panels
from sbn_lightning.figures.ticks import set_axis_from_0, set_log_axis, set_whole_numbers

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Table = Mapping[Any, Mapping[str, float | None]]
"""{step or epoch: {tag: value}}"""
MARKS = 6
"""Markers on a curve."""


@dataclass(frozen=True)
class Panel:
    """One of the two panels of a figure with curves. An axis that is not logarithmic begins at 0."""

    title: str
    styles: Mapping[str, str]  # {tag: line style} of the curves in it
    change: Callable[[Any], Any] = lambda values: values  # what is drawn of their values
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
    figure, all_axes = two_panels(list(runs), subtitle, markers=MARKERS)
    for axes, panel in zip(all_axes, panels, strict=True):
        for color, marker, tables in zip(COLORS, MARKERS, runs.values(), strict=False):
            for tag, style in panel.styles.items():
                logged = [{x: row[tag] for x, row in table.items() if row.get(tag) is not None} for table in tables]
                curves = [smooth(curve, smoothed) if smoothed else curve for curve in logged if curve]
                if curves:
                    draw_bundle(axes, curves, panel.change, color=color, linestyle=style, marker=marker)
        describe(axes, panel.title, "")
        (set_log_axis if panel.logarithmic else set_axis_from_0)(axes)
    all_axes[1].set_xlabel(x_label, fontsize=9)
    set_whole_numbers(all_axes[1])
    return figure


def draw_bundle(axes: Any, curves: Sequence[Mapping[Any, Any]], change: Callable[[Any], Any], **style: Any) -> None:
    """The mean of curves {x: value} at the places that all of them have, and their range. Solid lines have a few
    markers."""
    places = sorted(set.intersection(*map(set, curves)))
    values = change(np.array([[curve[x] for x in places] for curve in curves]))
    is_main = style["linestyle"] == "-"
    if len(curves) > 1 and is_main:
        axes.fill_between(places, values.min(0), values.max(0), color=style["color"], alpha=0.13, linewidth=0)
    style["marker"] = style["marker"] if is_main or len(places) == 1 else ""
    every = max(1, len(places) // MARKS)
    axes.plot(places, values.mean(0), linewidth=1.4 if is_main else 1, markersize=3.5, markevery=(every // 2, every),
              **style)  # fmt: skip


def smooth(curve: Mapping[Any, Any], parts: int) -> dict[Any, float]:
    """The running mean of a curve {x: value} over the length of one of its parts (over less at both ends), thinned to
    the number of points that can be distinguished."""
    window = np.ones(len(curve) // parts // 2 * 2 + 1)
    sums, counts = (np.convolve(values, window, "same") for values in (list(curve.values()), np.ones(len(curve))))
    points = list(zip(curve, (sums / counts).tolist(), strict=True))
    return dict(points[:: max(1, len(points) // (4 * parts))])
