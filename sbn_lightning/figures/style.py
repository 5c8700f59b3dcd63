"""The style that every figure has, and how it becomes a file or pixels."""

import io
from collections.abc import Sequence
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

Floats = NDArray[np.floating[Any]]


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
