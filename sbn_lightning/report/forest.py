"""The forest plot of a report: what its comparisons with softmax show, at one glance."""

import statistics
from collections.abc import Sequence
from pathlib import Path

from sbn_lightning import figures
from sbn_lightning.figures import COLORS, Interval
from sbn_lightning.report.groups import Group
from sbn_lightning.report.render import Picture
from sbn_lightning.report.rows import Row
from sbn_lightning.report.verdicts import MARGIN, verdict_of

BAND = f"the gray band is ± {MARGIN:g} points around {{}}, within which a difference does not matter"
BARS = "the thick bar is the 95 % interval of the difference from {} over seeds, the thin one also for other images"


def forest_of_heads(sets: Sequence[Sequence[Row]], title: str, stem: str, folder: Path) -> Picture:
    """Accuracies of finished rows, one dot per seed, and the intervals of those that are compared.

    Args:
        sets: The rows by the figures that show them: a row has the same color here as there.
    """
    colors = {row: color for rows in sets for row, color in zip(rows, COLORS, strict=False)}
    references = [row.comparison.softmax for row in colors if row.comparison]
    entries = [entry(row, color, row in references) for row, color in colors.items()]
    figure = figures.draw_forest(entries, MARGIN, "test accuracy of the last epoch, in percent", title, (0, 100))
    caption = f"Test accuracy, {title}. Each dot is a seed"
    if references:
        name = references[0].label if len(set(references)) == 1 else "the softmax that was trained alike"
        caption += f"; {BARS.format(name)}; {BAND.format(name)}"
    return Picture(f"{stem}_forest", f"{caption}.", figures.save_figure(figure, folder, f"{stem}_forest"), True)


def entry(row: Row, color: str, is_reference: bool) -> Interval:
    """A finished row's accuracies. Its intervals are those of its difference, moved to where its softmax is."""
    found, values = row.comparison, list(row.accuracies.values())
    mean = statistics.mean(values)
    if found is None:
        return Interval(row.label, "", mean, values, None, None, mean if is_reference else None, color)
    own = statistics.mean(found.softmax.accuracies.values())
    over_seeds, images = (moved(one.interval(), own) for one in (found.accuracy, found.images))
    return Interval(row.label, verdict_of(found.accuracy).value, mean, values, over_seeds, images, own, color)


def moved(ends: tuple[float, float] | None, by: float) -> tuple[float, float] | None:
    return ends and (ends[0] + by, ends[1] + by)


def forest_of_tables(groups: Sequence[Group], folder: Path) -> Picture:
    """The declared SBN row's difference from softmax in each table."""
    entries = []
    for group in groups:
        if group.proposed and (found := group.proposed.comparison):
            verdict, ends = verdict_of(found.accuracy).value, (found.accuracy.interval(), found.images.interval())
            entries.append(Interval(group.title, verdict, found.accuracy.value, (), *ends, 0, COLORS[1]))
    text, title = "points of test accuracy, SBN − softmax", "The declared SBN row against softmax"
    figure = figures.draw_forest(entries, MARGIN, text, title)
    caption = f"{title} in each table: {BARS.format('softmax')}; {BAND.format('softmax')}."
    return Picture("forest", caption, figures.save_figure(figure, folder, "forest"), True)
