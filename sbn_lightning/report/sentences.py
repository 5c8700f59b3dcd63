"""What a difference means, in words that say no more than its interval does."""

from collections.abc import Sequence

from sbn_lightning.report.power import Power
from sbn_lightning.report.rows import NOT_DECLARED, Comparison, Row
from sbn_lightning.report.statistics import SHARED, signed

SCOPE = (
    "The 95 % intervals are over seeds: about other runs of the same training, on this test set, with this split, "
    "training set and tuning; only where it is said, they are also for other images of the same kind."
)


def sentences_of(rows: Sequence[Row]) -> list[str]:
    """What the runs of a table show of each head compared with softmax, and what such runs can find, once for all heads
    for which it is the same."""
    shown = [row for row in rows if not row.is_softmax and row.not_compared != NOT_DECLARED]
    labels: dict[Power, list[str]] = {}
    for row in shown:
        if row.comparison and row.comparison.accuracy.power:
            labels.setdefault(row.comparison.accuracy.power, []).append(row.label)
    findings = [
        f"What such runs can find ({'; '.join(same)}): {what_is_found(power)}" for power, same in labels.items()
    ]
    return [*map(against_softmax, shown), *findings]


def against_softmax(row: Row) -> str:
    """What the runs show of a head compared with softmax."""
    found = row.comparison
    if found is None:
        return f"{row.label}: not compared with softmax, {row.not_compared}."
    ours, theirs = len(row.finished), len(found.softmax.finished)
    runs = f"{ours} run{'s' if ours > 1 else ''}" + ("" if ours == theirs else f" against {theirs}")
    return f"{row.label} against softmax ({runs}): {in_words(found)}"


def in_words(found: Comparison) -> str:
    """A difference in points, its intervals, and what they mean."""
    over_seeds, check = found.accuracy, found.check
    start = f"{signed(over_seeds.value)} points"
    if over_seeds.interval() is None:
        return f"{start}; no interval: {over_seeds.missing}."
    other_images = found.images.interval_text() if found.images.interval() else f"not known, {found.images.missing}"
    interval = f"95 % interval over seeds {over_seeds.interval_text()} ({over_seeds.method})"
    sentences = [f"{start}, {interval}, also for other images: {other_images}."]
    if over_seeds.contains_zero:
        fitting = over_seeds.interval_text()
        sentences.append(
            f"The interval contains 0: these runs cannot tell the two apart; differences from {fitting} fit them."
        )
    elif found.images.contains_zero:
        sentences.append("Only the interval over seeds excludes 0: on other images, the two may not differ.")
    if over_seeds.method == SHARED:
        detectable = f", detectable {check.power.span}" if check.power else ""
        sentences.append(
            f"As a check, Welch's test, with a spread for each of the two: {check.interval_text()}{detectable}."
        )
        if over_seeds.contains_zero != check.contains_zero:
            sentences.append(
                "The interval and its check disagree about 0: what they show depends on the shared spread."
            )
    return " ".join(sentences)


def what_is_found(power: Power) -> str:
    """What as many runs with this spread find."""
    return (
        f"if the true spread is the observed one, a true difference of {power.detectable:.2f} points would be found in "
        "4 of 5 such studies; with a spread estimated from so few runs, that may be anything from "
        f"{power.lowest:.2f} to {power.highest:.2f}. Finding a difference of 1 point takes {power.runs_text} of each."
    )
