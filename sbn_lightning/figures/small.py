"""Pictures of one run, as TensorBoard shows them: 350 pixels wide, in colors that belong to no run."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 3.5
"""Inches. A picture is drawn with 200 dots per inch, so that its type is readable where it is shown 350 pixels wide."""
DPI = 200
GRAY = "0.3"
TITLE_SIZE, TEXT_SIZE = 9, 8
"""Points."""


def small_figure(title: str, height: float, width: float = WIDTH) -> "Figure":
    """An empty figure with a title, of a size in inches."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), facecolor="white", dpi=DPI)
    figure.text(0.07 / width, 1 - 0.06 / height, title, fontsize=TITLE_SIZE, va="top", weight="bold", parse_math=False)
    return figure


def add_subtitle(figure: "Figure", subtitle: str) -> None:
    """Write a line below the title, whose lower edge is 0.4 inches below the figure's upper one."""
    from_top = 1 - 0.24 / figure.get_figheight()
    figure.text(0.02, from_top, subtitle, fontsize=TEXT_SIZE, va="top", color="0.3", parse_math=False)


def small_panels(title: str, height: float, left: float, bottom: float, width: float = WIDTH) -> Any:
    """The same with two panels above each other; the margins on the left and below are in inches."""
    figure = small_figure(title, height, width)
    top, right = 1 - 0.44 / height, 1 - 0.08 / width
    figure.subplots_adjust(left=left / width, right=right, bottom=bottom / height, top=top, hspace=0.3)
    return figure, figure.subplots(2, 1)


def describe_small(axes: Any, title: str) -> None:
    """Give a panel its title and the common style."""
    # At a fixed place: matplotlib would measure all tick labels for it.
    axes.set_title(title, loc="left", fontsize=TEXT_SIZE, pad=3, y=1.0, parse_math=False)
    axes.tick_params(labelsize=TEXT_SIZE, length=2, pad=2)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
