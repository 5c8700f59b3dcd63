"""The tables of one dataset and backbone."""

from collections.abc import Sequence

from sbn_lightning.report.cells import (
    NONE,
    OTHER_IMAGES,
    OVER_SEEDS,
    detectable,
    interval_of,
    memory,
    shown,
    table_of,
    time_taken,
)
from sbn_lightning.report.differences import differences_of_row
from sbn_lightning.report.groups import Group
from sbn_lightning.report.names import distinct, listed
from sbn_lightning.report.render import Table
from sbn_lightning.report.rows import NOT_DECLARED, Row
from sbn_lightning.report.runs import HIGHEST_IF_CALIBRATED, IF_CALIBRATED, MEASURES, REFITTED, SCORES, UNKNOWN
from sbn_lightning.report.statistics import PAIRED
from sbn_lightning.report.verdicts import SCOPE, what_is_found

NO_SCALE = (
    "Refitted is left out where in one of the runs the images that a scale is fitted on are classified without any "
    "error, or their logits say nothing about the labels: no finite scale fits them best."
)
IN_PROBABILITY_TABLE = [*SCORES, *(measure for measure in REFITTED if measure not in SCORES)]
HELD_OUT = {
    "Held-out": "held_out",
    "Held-out, best epoch": "held_out_best",
    "Test, best epoch": "test_best",
}
"""{heading: column of runs.csv}"""


def accuracy_table(group: Group) -> Table:
    """Accuracies, their differences from softmax, and from the paper's, where one of them is in it."""
    rows, compared = group.rows, [row.comparison for row in group.rows]
    columns = {
        "Head": [row.label for row in rows],
        "Accuracy": [shown(row.accuracy) for row in rows],
        f"Head − softmax ({OVER_SEEDS})": [against(row) for row in rows],
        "Detectable": [detectable(found) for found in compared],
        OTHER_IMAGES: [interval_of(found.images) if found else NONE for found in compared],
        **{heading: [shown(row.sample_of(column)) for row in rows] for heading, column in HELD_OUT.items()},
        "Paper": [shown(row.published) for row in rows],
        f"Ours − paper ({OVER_SEEDS})": [shown(row.from_paper) for row in rows],
        "Finished runs": [counts(row) for row in rows] if any(row.is_incomplete for row in rows) else [],
        "Tuned on": [row.tuned_on for row in rows] if len({row.tuned_on for row in rows}) > 1 else [],
    }
    caption = f"{group.title}: test accuracy of the last epoch, in percent, mean ± standard deviation (number of runs)"
    return table_of(caption, columns, notes_of(rows), f"{group.title} accuracy")


def notes_of(rows: Sequence[Row]) -> list[str]:
    """What has to be known to read an accuracy table, once each."""
    notes = []
    found = [row.comparison for row in rows if row.comparison]
    powers = dict.fromkeys(one.accuracy.power for one in found if one.accuracy.power)
    notes += [f"Detectable: {what_is_found(power)}" for power in powers if power and len(powers) == 1]
    if any(one and one.interval() for row in rows for one in differences_of_row(row)):
        notes.append(SCOPE)
    tuned_on = {row.tuned_on for row in rows}
    tuned = f"Settings were chosen on: {listed(sorted(tuned_on))}" if len(tuned_on) == 1 else "See Tuned on"
    tuned = "What settings were chosen on is not recorded" if tuned_on == {UNKNOWN} else tuned
    notes.append(f"{tuned}. No epoch was chosen by the test set: these are the results of the last epoch.")
    if declared := [row for row in rows if row.is_proposed and row.declared]:
        labels = "; ".join(row.label for row in declared)
        is_in_grid = any(row.plan for row in declared)
        notes.append(
            f"Declared by the grid: {labels}."
            if is_in_grid
            else f"Compared as the only row of its head, though no grid declared it: {labels}."
        )
    if hidden := [row.label for row in rows if row.not_compared == NOT_DECLARED]:
        notes.append(f"Not compared with softmax, since not declared alone before the results: {'; '.join(hidden)}.")
    unknown = dict.fromkeys(f.images.missing for f in found if f.accuracy.interval() and f.images.missing)
    notes += [f"No interval that is also for other images: {reason}." for reason in unknown]
    return [*notes, *how_trained(rows)]


def how_trained(rows: Sequence[Row]) -> list[str]:
    """How the rows were trained: what they share, and what each of those has that differ."""
    parts = [row.protocol.split("; ") for row in rows]
    own = distinct(["one table"] * len(rows), parts)
    labels: dict[str, list[str]] = {}
    for row, more in zip(rows, own, strict=True):
        labels.setdefault("; ".join(more), []).append(row.label)
    shared = "; ".join(part for part in parts[0] if part not in own[0])
    if len(labels) == 1:
        return [f"Trained with {shared}."]
    return [f"All trained with {shared}.", *(f"{' | '.join(names)}: {more}." for more, names in labels.items())]


def counts(row: Row) -> str:
    """E.g. 2/3 (of 5): two of three started runs are finished, and five are planned."""
    waiting = f" (of {len(row.runs)})" if len(row.runs) > row.started else ""
    return f"{len(row.finished)}/{row.started}{waiting}"


def against(row: Row) -> str:
    """The cell of a row's difference from softmax."""
    if row.comparison is None:
        return NONE if row.is_softmax else row.not_compared
    found = row.comparison.accuracy
    return f"{found}{', paired' if found.method == PAIRED else ''}"


def probability_table(group: Group) -> Table | None:
    """How good the probabilities are: scores with their differences from softmax, calibration, and both with the scale
    of the logits refitted; only what at least one run has."""
    columns: dict[str, list[str]] = {"Head": [row.label for row in group.rows]}
    notes: list[str] = []
    for measure in IN_PROBABILITY_TABLE:
        values = [row.mean(measure.name) for row in group.rows]
        if all(value is None for value in values):
            continue
        columns[measure.heading] = [shown(value, ".3f") for value in values]
        if measure in SCORES:
            differences = [row.comparison and row.comparison.scores.get(measure.name) for row in group.rows]
            columns[f"{measure.heading} − softmax's ({OVER_SEEDS})"] = [
                found.text(3) if found else NONE for found in differences
            ]
        else:
            columns[f"{measure.heading} if calibrated"] = [if_calibrated(row) for row in group.rows]
        if measure in REFITTED:
            refitted = [row.mean(f"{measure.name}_refitted") for row in group.rows]
            columns[f"{measure.heading} refitted (uses test labels)"] = [shown(value, ".3f") for value in refitted]
            if any(new is None and old is not None for new, old in zip(refitted, values, strict=True)):
                notes = [NO_SCALE]
    if len(columns) == 1:
        return None
    caption = f"{group.title}: quality of the probabilities, means over the runs"
    return table_of(caption, columns, notes, f"{group.title} probabilities")


def if_calibrated(row: Row) -> str:
    """E.g. 0.012 (up to 0.018)."""
    expected, highest = row.mean(IF_CALIBRATED), row.mean(HIGHEST_IF_CALIBRATED)
    return NONE if expected is None else f"{expected:.3f} (up to {shown(highest, '.3f')})"


def cost_table(group: Group) -> Table:
    """The other measures that at least one run has, time and memory."""
    columns: dict[str, list[str]] = {"Head": [row.label for row in group.rows]}
    for measure in MEASURES:
        if measure not in IN_PROBABILITY_TABLE:
            columns[measure.heading] = [shown(row.mean(measure.name), ".3f") for row in group.rows]
    columns |= {
        "Best − last": [shown(row.mean("best_minus_last"), ".2f") for row in group.rows],
        "Training time": [time_taken(row.seconds) for row in group.rows],
        "Peak memory": [memory(row.peak_memory_bytes) for row in group.rows],
    }
    caption = f"{group.title}: other measures and cost, means over the runs (memory: the highest)"
    return table_of(caption, columns, name=f"{group.title} cost")
