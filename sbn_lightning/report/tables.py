"""The tables of a report."""

from collections.abc import Iterable, Sequence

from sbn_lightning.report.groups import Group
from sbn_lightning.report.power import LEVEL
from sbn_lightning.report.render import Block, Table, Text
from sbn_lightning.report.rows import NOT_DECLARED, Comparison, Row
from sbn_lightning.report.runs import HIGHEST_IF_CALIBRATED, IF_CALIBRATED, MEASURES, REFITTED, SCORES
from sbn_lightning.report.sentences import SCOPE
from sbn_lightning.report.statistics import PAIRED, SHARED, Difference, ends_text, signed

NO_SCALE = (
    "Refitted is left out where in one of the runs the images that a scale is fitted on are classified without any "
    "error, or their logits say nothing about the labels: no finite scale fits them best."
)
IN_PROBABILITY_TABLE = [*SCORES, *(measure for measure in REFITTED if measure not in SCORES)]
OTHER_IMAGES = "Also for other images (95 %)"
OVER_SEEDS = "95 %, over seeds"
NONE = "–"
"""In a cell without a value."""
MARK = "†"
"""After the name of a row that was not trained as its softmax was."""


def declared_rows(groups: Sequence[Group]) -> Table:
    """The paper's claim in one line for each table."""
    compared = [(group.title, row, row.comparison) for group in groups if (row := group.proposed) and row.comparison]
    rows = [
        [
            name_of(title, row),
            shown(found.softmax.accuracy),
            shown(row.accuracy),
            str(found.accuracy),
            interval_of(found.images),
            shown(found.paper),
            detectable(found.accuracy),
        ]
        for title, row, found in compared
    ]
    columns = (f"SBN − softmax ({OVER_SEEDS})", OTHER_IMAGES, f"Paper: SBN − softmax ({OVER_SEEDS})", "Detectable")
    header = ("Data and backbone", "Softmax", "SBN", *columns)
    notes = [*marks(found for _, _, found in compared), SCOPE]
    return Table("Test accuracy of the last epoch, in percent", header, rows, notes)


def name_of(title: str, row: Row) -> str:
    """A row's name among those of all tables."""
    return f"{title}: {row.label}{MARK if row.comparison and row.comparison.unlike else ''}"


def marks(compared: Iterable[Comparison]) -> list[str]:
    """A note on what the marks mean; none without marks."""
    unlike = dict.fromkeys(what for found in compared for what in found.unlike)
    text = f"{MARK} Its softmax differs in more than the head, of these: {', '.join(unlike)}. See its table's warnings."
    return [text] if unlike else []


def accuracy_table(group: Group) -> Table:
    """Accuracies, and their differences from the paper's, where one of them is in it, and from softmax."""
    columns: dict[str, list[str]] = {
        "Head": [row.label for row in group.rows],
        "Tuned on": [row.tuned_on for row in group.rows],
        "Runs": [counts(row) for row in group.rows],
        "Accuracy": [shown(row.accuracy) for row in group.rows],
    }
    if any(row.published for row in group.rows):
        columns["Paper"] = [shown(row.published) for row in group.rows]
        columns[f"Ours − paper ({OVER_SEEDS})"] = [shown(row.from_paper) for row in group.rows]
    columns[f"Head − softmax ({OVER_SEEDS})"] = [against(row) for row in group.rows]
    compared = [row.comparison for row in group.rows]
    columns[OTHER_IMAGES] = [interval_of(found.images) if found else NONE for found in compared]
    columns["Detectable"] = [detectable(found.accuracy) if found else NONE for found in compared]
    protocols = dict.fromkeys(row.protocol for row in group.rows)
    notes = ["Trained with " + (" | or with ".join(protocols)) + "."]
    if declared := [row for row in group.rows if row.is_proposed and row.declared]:
        labels = "; ".join(row.label for row in declared)
        is_in_grid = any(row.plan for row in declared)
        notes.append(
            f"Declared by the grid: {labels}."
            if is_in_grid
            else f"Compared as the only row of its head, though no grid declared it: {labels}."
        )
    if hidden := [row.label for row in group.rows if row.not_compared == NOT_DECLARED]:
        notes.append(f"Not compared with softmax, since not declared alone before the results: {'; '.join(hidden)}.")
    if any(found and found.interval() for row in group.rows for found in differences_of_row(row)):
        notes.append(SCOPE)
    unknown = dict.fromkeys(f.images.missing for f in compared if f and f.accuracy.interval() and f.images.missing)
    notes += [f"No interval that is also for other images: {reason}." for reason in unknown]
    return table_of(f"{group.title}: test accuracy of the last epoch, in percent", columns, notes)


def counts(row: Row) -> str:
    """E.g. 2/3 (of 5): two of three started runs are finished, and five are planned."""
    waiting = f" (of {len(row.runs)})" if len(row.runs) > row.started else ""
    return f"{len(row.finished)}/{row.started}{waiting}"


def against(row: Row) -> str:
    """The cell of a row's difference from softmax."""
    if row.comparison is None:
        return "" if row.is_softmax else row.not_compared
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
    return table_of(f"{group.title}: quality of the probabilities, means over the runs", columns, notes)


def if_calibrated(row: Row) -> str:
    """E.g. 0.012 (up to 0.018)."""
    expected, highest = row.mean(IF_CALIBRATED), row.mean(HIGHEST_IF_CALIBRATED)
    return NONE if expected is None else f"{expected:.3f} (up to {shown(highest, '.3f')})"


def cost_table(group: Group) -> Table:
    """The other measures that at least one run has, time and memory."""
    columns: dict[str, list[str]] = {"Head": [row.label for row in group.rows]}
    for measure in MEASURES:
        values = [row.mean(measure.name) for row in group.rows]
        if measure not in IN_PROBABILITY_TABLE and any(value is not None for value in values):
            columns[measure.heading] = [shown(value, ".3f") for value in values]
    columns |= {
        "Best − last": [shown(row.mean("best_minus_last"), ".2f") for row in group.rows],
        "Minutes": [shown(row.minutes, ".1f") for row in group.rows],
        "Peak memory": [memory(row.peak_memory_bytes) for row in group.rows],
        "Commit": [", ".join(row.commits) or NONE for row in group.rows],
    }
    return table_of(f"{group.title}: other measures and cost, means over the runs (memory: the highest)", columns)


def differences_of_row(row: Row) -> list[Difference | None]:
    """A row's differences in accuracy: from the paper, from softmax, and the paper's own."""
    found = row.comparison
    return [row.from_paper, *([found.accuracy, found.paper] if found else [])]


def differences_of(groups: Sequence[Group]) -> list[Difference]:
    """Every difference of which a report shows a 95 % interval over seeds: in accuracy, and in the scores."""
    rows = [row for group in groups for row in group.rows]
    found = [one for row in rows for one in differences_of_row(row)]
    found += [one for row in rows if row.comparison for one in row.comparison.scores.values()]
    return [one for one in found if one and one.interval()]


def all_differences(groups: Sequence[Group]) -> list[Block]:
    """How many intervals there are, and all comparisons with softmax with intervals that hold together."""
    compared = [(group.title, row, row.comparison) for group in groups for row in group.rows if row.comparison]
    count = len(differences_of(groups))
    note = (
        f"{count} differences, in accuracy and in scores, have a 95 % interval over seeds in this report. If there "
        f"were no true difference, about {count * (1 - LEVEL):.2g} of them would be expected to miss 0 all the same."
    )
    rows = [
        [
            name_of(title, row),
            signed(found.accuracy.value),
            found.accuracy.interval_text(),
            interval_of(found.images),
            ends_text(found.together) if found.together else NONE,
            found.check.interval_text() if found.accuracy.method == SHARED else NONE,
            found.accuracy.method,
        ]
        for title, row, found in compared
    ]
    joint = sum(found.together is not None for _, _, found in compared)
    if joint < 2:
        return [Text("paragraph", note)]
    columns = ("95 % for all together", "Welch, as a check (95 %)", "Method")
    header = ("Head", "Head − softmax", "95 % interval over seeds", OTHER_IMAGES, *columns)
    together = (
        f"The intervals for all {joint} comparisons with softmax together miss one or more of the true differences in "
        "at most 5 % of such studies (Dunnett within a table, Bonferroni between tables and where seeds are paired); "
        "only they may be read as a search for heads that differ."
    )
    notes = [note, together, *marks(found for _, _, found in compared)]
    return [Table("Differences in points of accuracy", header, rows, notes)]


def table_of(caption: str, columns: dict[str, list[str]], notes: Sequence[str] = ()) -> Table:
    """A table from its columns."""
    return Table(caption, list(columns), list(zip(*columns.values(), strict=True)), notes)


def interval_of(found: Difference) -> str:
    """A cell with an interval alone."""
    return found.interval_text() if found.interval() else NONE


def shown(value: object, spec: str = "") -> str:
    """A cell's text."""
    return NONE if value is None else format(value, spec)


def detectable(found: Difference) -> str:
    """E.g. 1.15 (0.78 to 2.20); 4 to 8 runs for 1.00."""
    return f"{found.power.span}; {found.power.runs_text} for 1.00" if found.power else NONE


def memory(size: float | None) -> str:
    if size is None:
        return NONE
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
