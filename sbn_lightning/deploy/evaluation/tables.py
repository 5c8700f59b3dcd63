"""The tables of an evaluation, made from its numbers."""

from collections.abc import Sequence

from sbn_lightning.deploy.evaluation.calibration import percent
from sbn_lightning.deploy.evaluation.classes import OfClass
from sbn_lightning.deploy.evaluation.judgement import Judged
from sbn_lightning.errors import counted, named
from sbn_lightning.figures.style import shortened
from sbn_lightning.report.cells import NONE
from sbn_lightning.report.render import Block, Fold, Table
from sbn_lightning.report.statistics import signed
from sbn_lightning.run.measures import AFTER_TEST, MEASURES, Measure

PAIRS = 15
"""Confused pairs that are seen at once."""
MOST_PAIRS = 200
"""Pairs that are listed at all."""
LONGEST_NAME = 48
"""Characters of a class's name in a cell."""
OF_ALL = 5
"""Classes up to which the label is always among the five largest."""


def short(name: str) -> str:
    """A name as it fits into a cell."""
    return shortened([name], LONGEST_NAME)[0]


def interval(ends: tuple[float, float] | None) -> str:
    """E.g. 74 to 90 %."""
    return NONE if ends is None else f"{100 * ends[0]:.1f} to {100 * ends[1]:.1f} %"


def measure_table(networks: Sequence[Judged]) -> Table:
    """Every measure, a column for each network."""
    measures = [*MEASURES, *AFTER_TEST]
    if len(networks[0].class_names) <= OF_ALL:
        measures = [measure for measure in measures if measure.name != "top5_accuracy"]
    rows = [
        [measure.title, *(value_text(measure, judged.measures[measure.name]) for judged in networks)]
        for measure in measures
    ]
    rows.insert(1, ["Accuracy, 95 % interval", *(interval(judged.interval) for judged in networks)])
    rows.insert(2, ["Right", *(f"{judged.correct:,} of {judged.images:,}" for judged in networks)])
    loss = "Loss: what the training minimizes, with the head's margin or penalty; not to be compared between heads."
    explained = [measure for measure in measures if measure.text and measure.name != "calibration_error"]
    notes = [f"{measure.title}: {measure.text}" for measure in explained]
    header = ["Measure", *(judged.network.name for judged in networks)] if len(networks) > 1 else ["Measure", "Value"]
    return Table("How well it does", header, rows, [loss, *notes])


def value_text(measure: Measure, value: float) -> str:
    """A measure's value with its unit."""
    return f"{100 * value:.2f} %" if measure.unit == "share" else f"{value:.4f}"


def left_table(networks: Sequence[Judged]) -> Table:
    """The accuracy on the other images if the least sure ones are left to a person."""
    by_share = zip(*([(judged, left) for left in judged.coverage.left] for judged in networks), strict=True)
    rows = [
        [
            f"{100 * left.to_person / judged.images:.3g} % ({counted(left.to_person, 'image')})",
            *([short(judged.network.name)] if len(networks) > 1 else []),
            percent(left.correct / left.answered),
            interval(left.interval),
            f"{left.answered - left.correct:,} of {left.answered:,}",
            f"{left.probability:.3f}",
        ]
        for of_share in by_share
        for judged, left in of_share
    ]
    note = (
        "Lowest probability: the network answers if its largest probability is at least this. The value is for the "
        "images of this page; of other images, it leaves a somewhat different share to the person."
    )
    header = ["Left to a person", "Right among the others", "95 % interval", "Errors left", "Lowest probability"]
    if len(networks) > 1:
        header.insert(1, "Network")
    return Table("Accuracy when the least sure images are left to a person", header, rows, [note])


def pair_table(judged: Judged) -> list[Block]:
    """The pairs of classes that are confused. Of many pairs, only the most confused ones are visible at first."""
    header = ["Classes", "Taken for each other", "First for second", "Second for first", "Share of their images"]
    rows = [
        [
            f"{short(pair.first)} and {short(pair.second)}",
            f"{pair.confused:,}",
            f"{pair.first_as_second:,}",
            f"{pair.second_as_first:,}",
            percent(pair.confused / pair.images),
        ]
        for pair in judged.confused_pairs[:MOST_PAIRS]
    ]
    total = len(judged.confused_pairs)
    first = Table(f"Most confused pairs, in images ({min(total, PAIRS)} of {total:,})", header, rows[:PAIRS])
    more = rows[PAIRS:]
    return [first, *([Fold(f"{len(more)} more pairs", [Table("Further pairs", header, more)])] if more else [])]


def class_table(judged: Judged) -> Table:
    """Every class, the worst first. Classes without an image come last."""
    rows = sorted(judged.classes, key=lambda row: (row.recall is None, row.recall or 0.0, -row.images))
    cells = [
        [
            short(row.name),
            f"{row.images:,}",
            percent_or_none(row.recall),
            interval(row.interval),
            percent_or_none(row.precision),
            percent_or_none(row.f1),
            mistake_text(row),
        ]
        for row in rows
    ]
    header = ["Class", "Images", "Accuracy (recall)", "95 % interval", "Precision", "F1", "Most common mistake"]
    notes = [
        "Accuracy (recall): the share of the class's images that are right. Precision: of the images taken for the "
        "class, the share that is right. F1: the harmonic mean of the two."
    ]
    without = [row.name for row in judged.classes if not row.images]
    if without:
        notes.append(f"Without an image here: {named(map(short, without), at_most=20)}.")
    return Table(
        "Every class, the worst first; a click on a heading sorts by it", header, cells, notes, is_sortable=True
    )


def percent_or_none(share: float | None) -> str:
    return NONE if share is None else percent(share)


def mistake_text(row: OfClass) -> str:
    return f"{short(row.mistaken_for)} ({row.mistaken:,})" if row.mistaken_for else NONE


def class_differences(networks: Sequence[Judged]) -> Table:
    """The accuracy of both networks on each class that both know, the largest difference first."""
    first, second = ({row.name: row for row in judged.classes} for judged in networks)
    both = [(first[name], second[name]) for name in first if name in second and first[name].images]
    both.sort(key=lambda pair: -abs(pair[0].correct - pair[1].correct))
    rows = [
        [
            short(one.name),
            f"{one.images:,}",
            percent_or_none(one.recall),
            percent_or_none(other.recall),
            signed(100 * (other.correct - one.correct) / one.images, 1),
        ]
        for one, other in both
    ]
    names = [judged.network.name for judged in networks]
    header = ["Class", "Images", *names, "Difference in points"]
    note = "Sorted by the difference in images. Points: percentage points, the second minus the first."
    return Table("Accuracy on each class, the largest difference first", header, rows, [note], is_sortable=True)
