"""Every figure of the package in one style: Figures 2 and 3 and curves, for TensorBoard and for reports.

Draws on matplotlib's figures alone, without a window and without pyplot.
"""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00")
"""Blue and vermilion, which look different with any color vision, and in gray."""
SIZE = (5.2, 4.6)
"""Inches: two panels above each other, readable on a phone."""
BAR_WIDTH = 0.45
"""Inches that each class of Figure 3 takes, where that is more than `SIZE` in all."""
COVERED = 0.999
"""Share of each distribution that Figure 2's axis holds."""
FINEST_BINS = 60
"""Largest number of bins on Figure 2's axis; the counted bins are merged to that."""
LONGEST_NAME = 14
"""Characters of a class's name that fit below a bar."""

Floats = NDArray[np.floating[Any]]
Table = Mapping[Any, Mapping[str, float | None]]
"""{step or epoch: {tag: value}}"""


@dataclass(frozen=True)
class Histogram:
    """How many values fell into each bin: edges[i] <= value < edges[i + 1]; the first and the last bin also count what
    lies beyond them."""

    edges: Floats  # (bins + 1,), ascending
    counts: NDArray[np.int64]  # (bins,)

    @property
    def size(self) -> int:
        """Number of values."""
        return int(self.counts.sum())

    @property
    def below(self) -> NDArray[np.int64]:
        """(bins + 1,), number of values below each edge."""
        return np.append(0, np.cumsum(self.counts))

    @property
    def density(self) -> Floats:
        """(bins,), share of the values per unit of the value: the area is 1, whatever the bins' widths."""
        return self.counts / (max(1, self.size) * np.diff(self.edges))

    def quantile(self, q: float) -> float:
        """Value below which a share q of the values lies: linear within a bin, so right to one bin's width."""
        return float(np.interp(q * self.size, self.below, self.edges))

    @property
    def covering(self) -> tuple[float, float]:
        """The bins' edges between which at least `COVERED` of the values lie, with equal parts of the rest beyond."""
        rest = (1 - COVERED) / 2 * self.size
        first = np.searchsorted(self.below, rest, side="right") - 1
        last = np.searchsorted(self.below, self.size - rest)
        return float(self.edges[max(int(first), 0)]), float(self.edges[min(int(last), len(self.edges) - 1)])

    @property
    def is_cut(self) -> bool:
        """Whether an axis that ends with the bins may hold less than `COVERED`: more than the rest may lie beyond."""
        return bool(max(self.counts[0], self.counts[-1]) > (1 - COVERED) / 2 * self.size)

    def merged(self, factor: int) -> "Histogram":
        """With `factor` neighboring bins in each; the last bin also takes those that are left over."""
        starts = np.arange(0, max(1, len(self.counts) - factor + 1), factor)
        return Histogram(np.append(self.edges[starts], self.edges[-1]), np.add.reduceat(self.counts, starts))


def draw_logits(runs: Mapping[str, tuple[Histogram, Histogram]], subtitle: str) -> "Figure":
    """Figure 2: all logits above, the true class's below, on the same axis; each run in bins of its own.

    Args:
        runs: (all logits, true class's logits) by label.
    """
    figure, panels = two_panels(list(runs), subtitle)
    every = [histogram for pair in runs.values() for histogram in pair]
    lower, upper = min(h.covering[0] for h in every), max(h.covering[1] for h in every)
    titles = ("All logits", "Logit of the true class")
    for axes, title, histograms in zip(panels, titles, zip(*runs.values(), strict=True), strict=True):
        for color, histogram in zip(COLORS, histograms, strict=False):
            inside = np.count_nonzero((histogram.edges > lower) & (histogram.edges < upper)) + 1
            shown = histogram.merged(math.ceil(inside / FINEST_BINS))
            axes.stairs(shown.density, shown.edges, fill=True, color=color, alpha=0.22, linewidth=0)
            axes.stairs(shown.density, shown.edges, color=color, linewidth=1.3)
        axes.set_xlim(lower, upper)
        axes.set_ylim(bottom=0)
        describe(axes, title, "density")
    cut = " (the outermost bins also hold what lies beyond)" if any(h.is_cut for h in every) else ""
    panels[1].set_xlabel(f"logit{cut}", fontsize=9)
    return figure


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


def two_panels(labels: Sequence[str], subtitle: str, size: tuple[float, float] = SIZE, bottom: float = 0.11) -> Any:
    """An empty figure of a size in inches and its two panels above one horizontal axis, with the labels in the colors
    of their runs; the margin below the panels is a share of the height."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    figure = Figure(figsize=size, facecolor="white", dpi=100)
    left = 0.75 / size[0]
    # Fixed margins: a layout engine takes up to half as long again.
    figure.subplots_adjust(left=left, right=1 - 0.13 / size[0], bottom=bottom, top=0.845, hspace=0.28)
    figure.legend(
        handles=[Patch(color=color, label=text) for color, text in zip(COLORS, labels, strict=False)],
        loc="upper left", bbox_to_anchor=(left - 0.02, 0.955), ncols=len(labels), frameon=False, fontsize=9.5,
        handlelength=1.1, handleheight=0.8, borderpad=0.2, columnspacing=1.6,
    )  # fmt: skip
    figure.text(left, 0.965, subtitle, fontsize=9, color="0.4", parse_math=False)
    return figure, figure.subplots(2, 1, sharex=True)


def describe(axes: Any, title: str, y_label: str) -> None:
    """Give a panel its title, the label of its vertical axis, and the common style."""
    # Titles and labels at fixed places: matplotlib would measure all tick labels for them, in a third of the time.
    axes.set_title(title, loc="left", fontsize=9.5, pad=4, y=1.0, parse_math=False)
    axes.set_ylabel(y_label, fontsize=9)
    axes.yaxis.set_label_coords(-0.13 * SIZE[0] / axes.figure.get_figwidth(), 0.5)
    axes.xaxis.set_label_coords(0.5, -0.16)
    axes.tick_params(labelsize=8.5)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="0.9", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.locator_params(axis="y", nbins=4)


def save_svg(figure: "Figure", file: Path) -> str:
    """Write a figure, byte for byte the same each time, and return the file's content."""
    import matplotlib

    stream = io.StringIO()
    # The same names within the file each time, and the same letters on every machine.
    with matplotlib.rc_context({"svg.hashsalt": "sbn", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(stream.getvalue(), encoding="utf-8")
    return stream.getvalue()


def pixels(figure: "Figure") -> NDArray[np.uint8]:
    """(height, width, 3) RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]
