"""The style that every figure has, and how it becomes files or pixels."""

import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLORS = ("#0072b2", "#d55e00", "#882255", "#56b4e9", "#225522", "#e69f00", "#332288", "#cc6677")
"""One for each run or head, in this order. Any two look different with any color vision; see `DARK`."""
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
"""For lines, as a second sign beside the color."""
DASHES = ("-", (0, (4, 1.5)), (0, (1.5, 1)), (0, (6, 1, 1, 1)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)), "--", ":")
"""For outlines, as a second sign beside the color."""
SOFT, GRID, BAND = "#666666", "#e6e6e6", "#eceff3"
"""Less important text, lines behind the data, and areas behind the data."""
DARK = {
    "#ffffff": "#14181d", "#000000": "#e4e8ec", SOFT: "#9aa4ae", GRID: "#2c343d", BAND: "#262e37",
    **dict(zip(COLORS, ("#4aa3df", "#ff8a3d", "#c2548f", "#a9ddf7", "#7ec850", "#ffdd66", "#7a6ff0", "#e6a3cb"),
               strict=True)),
}  # fmt: skip
"""{color of a figure: the color that takes its place on a dark background}"""
SIZE = (5.2, 4.6)
"""Inches: two panels above each other, readable on a phone."""
NARROW = (4.2, 4.4)
"""Inches: the same for pages that are read on phones."""
LETTER, LEGEND_ROW = 0.069, 0.19
"""Inches: the width of a letter in the legend, and the height of one of its rows."""

FALLBACKS = (
    *("Noto Sans CJK JP", "Noto Sans CJK SC", "Noto Sans JP", "Noto Sans SC", "Noto Sans KR", "Source Han Sans SC"),
    *("WenQuanYi Micro Hei", "WenQuanYi Zen Hei", "Droid Sans Fallback", "IPAGothic"),  # Linux
    *("Hiragino Sans", "PingFang SC", "Hiragino Sans GB", "Apple SD Gothic Neo", "Arial Unicode MS"),  # macOS
    *("Microsoft YaHei", "Yu Gothic", "MS Gothic", "Malgun Gothic"),  # Windows
)
"""Fonts with the letters that matplotlib's own lacks, above all Chinese, Japanese and Korean ones."""

Floats = NDArray[np.floating[Any]]


def two_panels(
    labels: Sequence[str],
    subtitle: str,
    size: tuple[float, float] = SIZE,
    bottom: float = 0.11,
    markers: Sequence[str] = (),
) -> Any:
    """An empty figure of a size in inches and its two panels above one horizontal axis, with the labels in the colors
    of their runs; the margin below the panels is a share of the height. A legend of several rows makes it higher.

    Args:
        markers: Where the runs are lines, the sign of each.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    left = 0.75 / size[0]
    columns = max(1, min(len(labels), int(size[0] * (1 - left) / (0.45 + LETTER * max(map(len, labels))))))
    height = size[1] + LEGEND_ROW * (math.ceil(len(labels) / columns) - 1)
    figure = Figure(figsize=(size[0], height), facecolor="white", dpi=100)
    # Fixed margins: a layout engine takes up to half as long again.
    top = 1 - (size[1] * 0.155 + height - size[1]) / height
    figure.subplots_adjust(left=left, right=1 - 0.13 / size[0], bottom=bottom * size[1] / height, top=top, hspace=0.28)
    keys = [
        Line2D([], [], color=color, label=text, marker=markers[number], markersize=4)
        if markers
        else Patch(color=color, label=text)
        for number, (color, text) in enumerate(zip(COLORS, labels, strict=False))
    ]
    legend = figure.legend(
        handles=keys, loc="upper left", bbox_to_anchor=(left - 0.02, 1 - 0.045 * size[1] / height), ncols=columns,
        frameon=False, fontsize=9.5, handlelength=1.6 if markers else 1.1, handleheight=0.8, borderpad=0.2,
        columnspacing=1.6, labelspacing=0.25,
    )  # fmt: skip
    for text in legend.get_texts():
        text.set_parse_math(False)
    subtitle_at = 1 - 0.035 * size[1] / height
    figure.text(left, subtitle_at, subtitle, fontsize=9, color=SOFT, parse_math=False)
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
    axes.grid(axis="y", color=GRID, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.locator_params(axis="y", nbins=4)


def use_fallbacks(figure: "Figure") -> None:
    """Let those of FALLBACKS that are installed draw the letters that matplotlib's own font lacks."""
    from matplotlib.font_manager import get_font_names
    from matplotlib.text import Text

    names = set(get_font_names())
    installed = [name for name in FALLBACKS if name in names]
    for text in figure.findobj(Text) if installed else []:
        if not text.get_text().isascii():
            text.set_fontfamily([*text.get_fontfamily(), *installed])


def svg_of(figure: "Figure") -> str:
    """Return a figure as SVG, byte for byte the same each time."""
    import matplotlib

    use_fallbacks(figure)
    stream = io.StringIO()
    # The same names within the file each time, and the same letters on every machine.
    with matplotlib.rc_context({"svg.hashsalt": "sbn", "svg.fonttype": "path"}):
        figure.savefig(stream, format="svg", metadata={"Date": None, "Creator": None})
    # What has no color in the file is black, which is written down here to be replaced like the other colors.
    return stream.getvalue().replace("<svg ", '<svg style="fill: #000000" ', 1)


def save_figure(figure: "Figure", folder: Path, name: str) -> str:
    """Write NAME.svg, NAME_dark.svg for dark backgrounds and NAME.pdf, byte for byte the same each time, and return the
    content of the first."""
    from matplotlib.patheffects import Normal
    from matplotlib.text import Text

    folder.mkdir(parents=True, exist_ok=True)
    svg = svg_of(figure)
    # Letters become outlines in the PDF, too: to embed a font takes longer than to draw, and some publishers refuse it.
    for text in figure.findobj(Text):
        text.set_path_effects([Normal()])
    figure.savefig(folder / f"{name}.pdf", format="pdf", metadata={"CreationDate": None, "Creator": None})
    dark = svg
    for color, instead in DARK.items():
        dark = dark.replace(color, instead)
    (folder / f"{name}.svg").write_text(svg, encoding="utf-8")
    (folder / f"{name}_dark.svg").write_text(dark, encoding="utf-8")
    return svg


def pixels(figure: "Figure") -> NDArray[np.uint8]:
    """(height, width, 3) RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    use_fallbacks(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


def shortened(names: Sequence[str], longest: int) -> list[str]:
    """Return names of at most a number of letters."""
    return [name if len(name) <= longest else name[: longest - 1] + "…" for name in names]
