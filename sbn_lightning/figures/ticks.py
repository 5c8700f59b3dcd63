"""Where the axes of curves have numbers."""

import math
from typing import Any

import numpy as np

FEWEST = 3
"""Numbers that an axis has at least."""
MOST = 7
"""Decades that all have a number."""
MANTISSAS = ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 6, 8), (1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5, 4, 5, 6, 7, 8, 9))
"""From the roundest numbers on."""


def log_ticks(lowest: float, highest: float) -> list[float]:
    """The roundest numbers of which an axis from `lowest` to `highest`, both positive, holds `FEWEST` or more; evenly
    spaced ones where the range is too short for these."""
    decades = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
    every = math.ceil(len(decades) / MOST)
    for mantissas in MANTISSAS:
        ticks = [mantissa * 10.0**decade for decade in decades[::every] for mantissa in mantissas]
        inside = [tick for tick in ticks if lowest <= tick <= highest]
        if len(inside) >= FEWEST:
            return inside
    return linear_ticks(lowest, highest)


def linear_ticks(lowest: float, highest: float) -> list[float]:
    """Evenly spaced round numbers of a short range."""
    step = 10.0 ** math.floor(math.log10((highest - lowest) / 2))
    return [float(tick) for tick in np.arange(math.ceil(lowest / step), math.floor(highest / step) + 1) * step]


def set_log_axis(axes: Any) -> None:
    """Make a panel's vertical axis logarithmic, with round numbers; a value of 0 is below its lower end."""
    from matplotlib.ticker import FixedLocator, NullLocator

    values = np.concatenate([line.get_ydata() for line in axes.lines] or [[]])
    positive = values[values > 0]
    if not len(positive):
        return
    margin = max(1.05, (positive.max() / positive.min()) ** 0.05)
    lowest, highest = float(positive.min() / margin), float(positive.max() * margin)
    axes.set_yscale("log", nonpositive="clip")
    axes.set_ylim(lowest, highest)
    axes.yaxis.set_major_locator(FixedLocator(log_ticks(lowest, highest)))
    axes.yaxis.set_major_formatter("{x:.6g}")
    axes.yaxis.set_minor_locator(NullLocator())


def set_axis_from_0(axes: Any) -> None:
    """Let a panel's vertical axis begin at 0, also where all values are 0."""
    highest = max((line.get_ydata().max() for line in axes.lines), default=0)
    axes.set_ylim(0, 1.08 * highest if highest > 0 else 1)


def set_whole_numbers(axes: Any) -> None:
    """Give a horizontal axis numbers without fractions."""
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True))
    axes.xaxis.set_major_formatter("{x:,.0f}")
