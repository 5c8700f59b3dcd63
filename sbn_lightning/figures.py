"""The report's pictures, all in one style. Draws with matplotlib's figures alone: no window, no pyplot."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

COLORS = ("#0072B2", "#D55E00")
"""Blue and vermilion: told apart with any color vision, and in gray."""
SIZE = (5.2, 4.6)
"""Inches: two panels above each other, legible at a phone's width."""
COVERED = 0.999
"""Share of each distribution that Figure 2's axis holds."""
FINEST_BINS = 60
"""Bins that Figure 2's axis has at most; the stored ones are merged to that."""
LONGEST_NAME = 14

Floats = NDArray[np.float64]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Distribution:
    """A histogram: bins' edges (bins + 1,), counts (bins,), of which the first and the last also hold what lies beyond;
    whole is all bins' count if these are a part of them."""

    edges: Floats
    counts: NDArray[np.int64]
    whole: int | None = None

    @property
    def total(self) -> int:
        return max(1, int(self.counts.sum()) if self.whole is None else self.whole)

    def quantile(self, q: float) -> float:
        """The edge of a bin below which at least q of the counts lie, or at most, for q below a half."""
        below = np.concatenate([[0], np.cumsum(self.counts)]) / self.total
        index = np.searchsorted(below, q) if q >= 0.5 else np.searchsorted(below, q, side="right") - 1
        return float(self.edges[min(max(int(index), 0), len(self.edges) - 1)])

    @property
    def is_cut(self) -> bool:
        """Whether an axis that ends with the bins may hold less than `COVERED`: more than the rest may lie beyond."""
        return bool(max(self.counts[0], self.counts[-1]) > (1 - COVERED) / 2 * self.total)

    def merged(self, factor: int) -> "Distribution":
        """With so many neighboring bins made one; what does not fill a bin at the end becomes a narrower one."""
        starts = np.arange(0, len(self.counts), factor)
        edges = np.append(self.edges[starts], self.edges[-1])
        return Distribution(edges, np.add.reduceat(self.counts, starts))

    def within(self, lower: float, upper: float) -> "Distribution":
        """Without the bins that lie wholly outside of lower to upper; densities are those of the whole."""
        inside = np.flatnonzero((self.edges[1:] > lower) & (self.edges[:-1] < upper))
        first, last = int(inside[0]), int(inside[-1])
        return Distribution(self.edges[first : last + 2], self.counts[first : last + 1], self.total)

    @property
    def density(self) -> Floats:
        return self.counts / (self.total * np.diff(self.edges))


def draw_logits(runs: Mapping[str, tuple[Distribution, Distribution]], subtitle: str) -> Any:
    """Figure 2: all logits above, the true class's below, on the same axis; each run in bins of its own.

    Args:
        runs: (all logits, true class's logits) by label.
    """
    figure, panels = start(list(runs), subtitle)
    every = [distribution for pair in runs.values() for distribution in pair]
    tail = (1 - COVERED) / 2
    lower, upper = min(d.quantile(tail) for d in every), max(d.quantile(1 - tail) for d in every)
    lower, upper = (lower, upper) if lower < upper else (lower - 1, upper + 1)
    titles = ("All logits", "Logit of the true class")
    for axes, title, pick in zip(panels, titles, (0, 1), strict=True):
        for color, pair in zip(COLORS, runs.values(), strict=False):
            inside = np.count_nonzero((pair[pick].edges > lower) & (pair[pick].edges < upper)) + 1
            shown = pair[pick].merged(math.ceil(inside / FINEST_BINS)).within(lower, upper)
            axes.stairs(shown.density, shown.edges, fill=True, color=color, alpha=0.22, linewidth=0)
            axes.stairs(shown.density, shown.edges, color=color, linewidth=1.3)
        axes.set_xlim(lower, upper)
        axes.set_ylim(bottom=0)
        label(axes, title, "density")
    panels[1].set_xlabel("logit", fontsize=9)
    return figure


def draw_norms(runs: Mapping[str, tuple[Floats, Floats]], class_names: Sequence[str], subtitle: str) -> Any:
    """Figure 3: the norm of each class's weights, as trained above and as inference uses them below.

    Args:
        runs: (‖w‖, ‖w′‖) of the classes that are shown, by label.
    """
    names = [name if len(name) <= LONGEST_NAME else name[: LONGEST_NAME - 1] + "…" for name in class_names]
    longest = max(map(len, names))
    figure, panels = start(list(runs), subtitle, bottom=0.08 + 0.009 * longest)
    titles = ("As trained: ‖w‖", "As inference uses them, normalization folded in: ‖w′‖")
    positions, width = np.arange(len(class_names)), 0.8 / max(1, len(runs))
    for axes, title, pick in zip(panels, titles, (0, 1), strict=True):
        for number, (color, norms) in enumerate(zip(COLORS, runs.values(), strict=False)):
            shift = (number - (len(runs) - 1) / 2) * width
            axes.bar(positions + shift, norms[pick], width, color=color)
        label(axes, title, "norm")
        axes.tick_params(axis="x", length=0)
    slanted = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if longest > 5 else {}
    panels[1].set_xticks(positions, names, parse_math=False, **slanted)
    return figure


def draw_curves(
    runs: Mapping[str, Sequence[Mapping[str, Points]]],
    panels_of: Sequence[tuple[str, Mapping[str, str]]],
    x_label: str,
    subtitle: str,
    factors: Sequence[float] = (1, 1),
    logarithmic: Sequence[str] = (),
) -> Any:
    """Two panels of curves over the same axis: of each label the mean over its runs, and the range from the lowest to
    the highest.

    Args:
        runs: The curves of each run, by tag, by label.
        panels_of: For each panel its title, and the line style of each tag in it.
        factors: What each panel's values are multiplied with.
        logarithmic: Titles of panels with a logarithmic axis.
    """
    figure, panels = start(list(runs), subtitle)
    for axes, (title, styles), factor in zip(panels, panels_of, factors, strict=True):
        for color, curves in zip(COLORS, runs.values(), strict=False):
            for tag, style in styles.items():
                shown = [curve[tag] for curve in curves if tag in curve]
                draw_bundle(axes, shown, factor, color=color, linestyle=style)
        label(axes, title, "")
        if title in logarithmic:
            axes.set_yscale("log")
            axes.minorticks_off()
    panels[1].set_xlabel(x_label, fontsize=9)
    return figure


def draw_bundle(axes: Any, curves: Sequence[Points], factor: float, **style: Any) -> None:
    """The mean of curves at the steps that all of them have, and their range."""
    if not curves:
        return
    tables = [dict(curve) for curve in curves]
    steps = sorted(set(tables[0]).intersection(*tables[1:]))
    values = factor * np.array([[table[step] for step in steps] for table in tables])
    if len(tables) > 1:
        axes.fill_between(steps, values.min(0), values.max(0), color=style["color"], alpha=0.15, linewidth=0)
    marker = "o" if len(steps) == 1 else ""
    axes.plot(steps, values.mean(0), linewidth=1.4, marker=marker, markersize=3, **style)


def smooth(points: Points, width: int) -> Points:
    """Each point's mean with its neighbors, width points in all (fewer at the ends)."""
    values = np.array([value for _, value in points])
    total = np.concatenate([[0.0], np.cumsum(values)])
    ends = np.arange(len(values))
    first, last = np.maximum(0, ends - width // 2), np.minimum(len(values), ends + width // 2 + 1)
    means = (total[last] - total[first]) / (last - first)
    return [(step, float(mean)) for (step, _), mean in zip(points, means, strict=True)]


def start(labels: Sequence[str], subtitle: str, bottom: float = 0.11) -> tuple[Any, Any]:
    """An empty figure of two panels with one horizontal axis, a legend above in the colors that the panels use."""
    from matplotlib import rcParams
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rcParams["svg.hashsalt"] = "sbn report"  # the same file from the same runs
    rcParams["svg.fonttype"] = "path"  # the same letters everywhere
    figure = Figure(figsize=SIZE, facecolor="white")
    # Fixed margins: a layout engine takes up to half as long again.
    figure.subplots_adjust(left=0.125, right=0.975, bottom=bottom, top=0.845, hspace=0.28)
    figure.legend(
        handles=[Patch(color=color, label=text) for color, text in zip(COLORS, labels, strict=False)],
        loc="upper left", bbox_to_anchor=(0.105, 0.955), ncols=len(labels), frameon=False, fontsize=9.5,
        handlelength=1.1, handleheight=0.8, borderpad=0.2, columnspacing=1.6,
    )  # fmt: skip
    figure.text(0.125, 0.965, subtitle, fontsize=9, color="0.4", parse_math=False)
    return figure, figure.subplots(2, 1, sharex=True)


def label(axes: Any, title: str, y_label: str) -> None:
    """The style of a panel."""
    # Titles and labels at fixed places: matplotlib would measure all tick labels for them, in a third of the time.
    axes.set_title(title, loc="left", fontsize=9.5, pad=4, y=1.0, parse_math=False)
    axes.set_ylabel(y_label, fontsize=9)
    axes.yaxis.set_label_coords(-0.105, 0.5)
    axes.xaxis.set_label_coords(0.5, -0.16)
    axes.tick_params(labelsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.locator_params(axis="y", nbins=4)
