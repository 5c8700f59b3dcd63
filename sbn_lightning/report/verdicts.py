"""What the runs show of a head compared with softmax: a word and a sentence that say no more than the intervals do."""

from collections import Counter
from collections.abc import Sequence
from enum import Enum

from sbn_lightning.errors import counted
from sbn_lightning.report.power import Power
from sbn_lightning.report.rows import NOT_DECLARED, Comparison, Row
from sbn_lightning.report.statistics import SHARED, Difference, ends_text, signed

MARGIN = 0.5
"""Points of accuracy; a difference that is surely smaller does not matter."""
SCOPE = (
    "The 95 % intervals are over seeds: about other runs of the same training, on this test set, with this split, "
    "training set and tuning; only where it is said, they are also for other images of the same kind."
)
Point = tuple[str, str]
"""What a sentence is about, and the sentence."""


class Verdict(Enum):
    """What an interval shows; "cannot tell" is not "no difference"."""

    BETTER = "better"  # all of it is above 0
    WORSE = "worse"
    SAME = "no difference that matters"  # all of it is within the margin, and 0 is in it
    OPEN = "cannot tell"


def verdict_of(found: Difference) -> Verdict:
    ends = found.interval()
    if ends is None:
        return Verdict.OPEN
    if not found.contains_zero:
        return Verdict.BETTER if found.value > 0 else Verdict.WORSE
    return Verdict.SAME if max(map(abs, ends)) <= MARGIN else Verdict.OPEN


def shown_rows(rows: Sequence[Row]) -> list[Row]:
    """The rows that are compared with softmax, or for which it is said why not."""
    return [row for row in rows if not row.is_softmax and row.not_compared != NOT_DECLARED]


def verdicts(rows: Sequence[Row]) -> list[Point]:
    """A sentence for each head of a table."""
    return [(f"{row.label}:", sentence(row)) for row in shown_rows(rows)]


def sentence(row: Row) -> str:
    if row.comparison is None:
        return f"not compared with softmax, {row.not_compared}."
    return f"{in_words(row.comparison)}{reservations(row.comparison)}."


def in_words(found: Comparison) -> str:
    """The verdict with the numbers it rests on, without the full stop."""
    over_seeds, reference = found.accuracy, found.softmax.label
    value, ends = over_seeds.value, over_seeds.interval()
    if ends is None:
        return (
            f"cannot be told apart from {reference}: {signed(value)} points, without an interval ({over_seeds.missing})"
        )
    verdict, interval = verdict_of(over_seeds), ends_text(ends)
    if verdict is Verdict.OPEN:
        return (
            f"these runs cannot tell it apart from {reference}: {signed(value)} points, but any true difference from "
            f"{interval} fits them (95 % interval)"
        )
    if verdict is Verdict.SAME:
        inside = f"the 95 % interval, {interval}, lies within ±{MARGIN:g}"
        return f"no difference from {reference} that matters: {signed(value)} points, and {inside}"
    matters = "" if abs(value) > MARGIN else f", no more than the {MARGIN:g} points that matter here"
    return f"{verdict.value} than {reference} by {abs(value):.2f} points (95 % interval {interval}){matters}"


def reservations(found: Comparison) -> str:
    """What keeps a verdict from being more than it is; an empty text where nothing does."""
    over_seeds, check, texts = found.accuracy, found.check, []
    if over_seeds.interval() is None:
        return ""
    if not over_seeds.contains_zero:
        if found.images.contains_zero:
            texts.append("on other test images, the two may not differ")
        if found.together and found.together[0] <= 0 <= found.together[1]:
            texts.append("among all comparisons of this report, one such difference may be chance")
    if over_seeds.method == SHARED and over_seeds.contains_zero != check.contains_zero:
        texts.append(f"Welch's test, which gives each head a spread of its own, disagrees: {check.interval_text()}")
    return "".join(f"; {text}" for text in texts)


def verdicts_of_tables(tables: Sequence[Sequence[Row]]) -> list[Point]:
    """A sentence for each head about all tables of a report."""
    found: dict[str, Counter[Verdict]] = {}
    for rows in tables:
        for row in rows:
            if row.comparison:
                found.setdefault(row.head.title, Counter())[verdict_of(row.comparison.accuracy)] += 1
    points = []
    for title, counts in found.items():
        parts = [f"{verdict.value} in {counts[verdict]}" for verdict in Verdict if counts[verdict]]
        points.append((f"{title} against softmax:", f"{', '.join(parts)} of {counted(counts.total(), 'comparison')}."))
    return points


def what_is_found(power: Power) -> str:
    """What as many runs with this spread find."""
    return (
        f"as many runs with this spread find a true difference of {power.detectable:.2f} points 4 times in 5 "
        f"({power.lowest:.2f} to {power.highest:.2f}, since so few runs say little about the spread). To find 1 point "
        f"takes {power.runs_text} of each head."
    )
