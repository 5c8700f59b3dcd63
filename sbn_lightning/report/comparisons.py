"""How the heads of a report are compared with softmax."""

from collections.abc import Sequence

from sbn_lightning.report.arrays import correct_of
from sbn_lightning.report.power import LEVEL
from sbn_lightning.report.rows import NOT_DECLARED, TO_SHARE, TRAINING, Comparison, Row
from sbn_lightning.report.runs import SCORES
from sbn_lightning.report.statistics import (
    CROSSED,
    SHARED,
    Difference,
    Sample,
    Spread,
    against_published,
    compare_by_design,
    for_other_images,
    shared_spread,
    summarize,
    welch,
)
from sbn_lightning.report.together import dunnett_critical
from sbn_lightning.run.records import BrokenRecordError


def compare_rows(rows: Sequence[Row]) -> None:
    """Compare each row of a table with softmax, or note why not.

    Where seeds are not paired, all heads that are compared with one softmax row are taken to have one spread.
    """
    softmax_of = {row: softmax_for(row, rows) for row in rows}
    for row, softmax in softmax_of.items():
        if softmax:
            together = [softmax, *(other for other in rows if softmax_of[other] is softmax)]
            spread = shared_spread([one.accuracy for one in together if one.accuracy])
            row.comparison = compare(row, softmax, spread)


def softmax_for(row: Row, rows: Sequence[Row]) -> Row | None:
    """Return the finished softmax row that was trained as this one, or else the only one; None where the row is not
    compared, and notes why."""
    finished = [other for other in rows if other.is_softmax and other.finished]
    alike = [other for other in finished if other.protocol == row.protocol]
    reasons = {
        "is softmax": row.is_softmax,
        "no finished run": not row.finished,
        NOT_DECLARED: not row.declared,
        "no finished softmax run": not finished,
        "no softmax was trained in the same way": not alike and len(finished) != 1,
    }
    row.not_compared = next((reason for reason, holds in reasons.items() if holds), "")
    return None if row.not_compared else (alike or finished)[0]


def compare(row: Row, softmax: Row, spread: Spread | None = None) -> Comparison:
    """Return how two finished rows differ; without a shared spread, unpaired ones are compared by Welch's test."""
    step = max(row.step, softmax.step)
    accuracy = compare_by_design(row.accuracies, softmax.accuracies, step, spread)
    differing = [what for what in TO_SHARE if set(row.values_of(what)) != set(softmax.values_of(what))]
    ours, theirs = row.published, softmax.published
    return Comparison(
        softmax,
        differing if row.protocol == softmax.protocol else [TRAINING, *differing],
        accuracy,
        welch(sample_of(row), sample_of(softmax)),
        difference_for_other_images(accuracy, row, softmax),
        differences_in_scores(row, softmax),
        against_published(ours, theirs) if ours and theirs else None,
    )


def sample_of(row: Row) -> Sample:
    """The accuracies of a finished row."""
    return summarize(row.accuracies.values(), row.step)


def difference_for_other_images(accuracy: Difference, row: Row, softmax: Row) -> Difference:
    """Return the difference in accuracy with the interval that is also for other images, or why there is none."""
    if accuracy.standard_error is None:
        return accuracy
    try:
        return for_other_images(accuracy, *correct_of(row.finished, softmax.finished))
    except BrokenRecordError as error:
        return Difference(accuracy.value, CROSSED, missing=str(error))


def differences_in_scores(row: Row, softmax: Row) -> dict[str, Difference]:
    """Return {name: difference over seeds} of the scores that all runs have. Heads spread differently in them, so that
    unpaired ones are compared by Welch's test."""
    found = {}
    for score in SCORES:
        ours, theirs = (
            {seed: value for seed, value in one.measured(score.name).items() if value is not None}
            for one in (row, softmax)
        )
        if (len(ours), len(theirs)) == (len(row.finished), len(softmax.finished)):
            found[score.name] = compare_by_design(ours, theirs)
    return found


def hold_together(rows: Sequence[Row]) -> None:
    """Give the comparisons of all tables of a report intervals that hold together with the probability `LEVEL`.

    Each comparison has an equal share of the chance that one of them misses (Bonferroni), and those of heads that share
    a spread spend their shares together (Dunnett).
    """
    compared = [(row, row.comparison) for row in rows if row.comparison and row.comparison.accuracy.standard_error]
    for _, one in compared:
        joint = [other for other, found in compared if found.softmax is one.softmax and found.accuracy.method == SHARED]
        if one.accuracy.method == SHARED:
            runs = tuple(len(other.finished) for other in joint)
            level = 1 - (1 - LEVEL) * len(joint) / len(compared)
            critical = dunnett_critical(runs, len(one.softmax.finished), one.accuracy.df, level)
            one.together = one.accuracy.within(critical)
        else:
            one.together = one.accuracy.interval(1 - (1 - LEVEL) / len(compared))
