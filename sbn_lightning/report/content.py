"""What a report says, part by part."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from sbn_lightning.report.drawings import file_names, pair_of_group, pair_of_rows
from sbn_lightning.report.render import Block, Bullets, Table, Text, fill
from sbn_lightning.report.rows import NOT_DECLARED, TO_SHARE, TRAINING, Group, Row
from sbn_lightning.report.runs import FINISHED, MEASURES, NOT_STARTED, REFITTED, UNREADABLE, Run
from sbn_lightning.report.statistics import FEWEST_PAIRS, LEVEL, PAIRED, Difference, difference, signed
from sbn_lightning.run.records import RunState

NO_SCALE = (
    "Refitted is left out where in one of the runs a half of the test set is classified without any error, or its "
    "logits say nothing about the labels: no finite scale fits that half best."
)
NONE = "–"
"""In a cell without a value."""
MARK = "†"
"""After the name of a row that was not trained as its softmax was."""
ERROR_LINES = 12
"""Number of lines shown of a failed run's error, the last ones."""

Compared = tuple[str, Row, Difference]
"""A row that is compared with softmax: its name among all tables' rows, and the difference."""


def full_report(name: str, runs: Sequence[Run], groups: Sequence[Group], figures: Path) -> list[Block]:
    """Everything about the runs below a folder; writes the figures, too."""
    counts = Counter(run.state for run in runs)
    in_order = sorted(counts, key=lambda state: (state != FINISHED, state))
    states = ", ".join(f"{counts[state]} {state}" for state in in_order)
    summary = f"{len(runs)} run{'s' if len(runs) > 1 else ''}: {states}."
    blocks: list[Block] = [Text("title", f"Report on {name}"), Text("paragraph", summary)]
    damaged = [run for run in runs if run.state == UNREADABLE]
    blocks += [Text("warning", f"{run.name} is left out of all tables: {run.note.rstrip('.')}.") for run in damaged]
    compared = [
        (f"{group.title}: {row.label}{MARK if row.unlike_softmax else ''}", row, found)
        for group in groups
        for row in group.rows
        if (found := row.from_softmax)
    ]
    proposed = [group.proposed for group in groups]
    headlines = [(name, row, found) for name, row, found in compared if row in proposed]
    if headlines and len(groups) > 1:
        blocks += declared_rows(headlines)
    for group, stem in zip(groups, file_names(group.title for group in groups), strict=True):
        blocks += [*section_of(group), *pair_of_group(group, stem, figures)]
    if len(compared) > 1:
        blocks += all_comparisons(compared)
    how_to_read = fill("how_to_read.txt.j2", str, fewest_pairs=FEWEST_PAIRS, measures=MEASURES).split("\n\n")
    paragraphs = Bullets([" ".join(paragraph.split()) for paragraph in how_to_read])
    return [*blocks, *left_out(runs, groups), Text("section", "How to read this"), paragraphs]


def declared_rows(compared: Sequence[Compared]) -> list[Block]:
    """The paper's claim in one line for each table."""
    rows = []
    for name, row, found in compared:
        theirs, ours = row.reference and row.reference.published, row.published
        claim = signed(ours.mean - theirs.mean) if ours and theirs else NONE
        softmax = row.reference and row.reference.accuracy
        rows.append([name, shown(softmax), shown(row.accuracy), str(found), claim, detectable(found)])
    header = ("Data and backbone", "Softmax", "SBN", "SBN − softmax (95 %)", "Paper: SBN − softmax", "Detectable")
    table = Table("Test accuracy of the last epoch, in percent", header, rows, marks(compared))
    return [Text("section", "The declared SBN row against softmax"), table]


def marks(compared: Iterable[Compared]) -> list[str]:
    """A note on what the marks mean; none without marks."""
    unlike = dict.fromkeys(what for _, row, _ in compared for what in row.unlike_softmax)
    text = f"{MARK} Its softmax differs in more than the head, of these: {', '.join(unlike)}. See its table's warnings."
    return [text] if unlike else []


def section_of(group: Group) -> list[Block]:
    """Warnings, accuracy, a sentence for each head, other measures and cost."""
    warnings = [Text("warning", text) for text in warnings_of(group)]
    sentences = [sentence(row) for row in group.rows if not row.is_softmax and row.not_compared != NOT_DECLARED]
    bullets = [Bullets(sentences)] if sentences else []
    return [Text("section", group.title), *warnings, accuracy_table(group), *bullets, cost_table(group)]


def warnings_of(group: Group) -> list[str]:
    """Return what makes a table's numbers less comparable than they look."""
    mixed: dict[str, list[str]] = {}
    for row in group.rows:
        for what in TO_SHARE:
            if len(values := row.values_of(what)) > 1:
                values_text = f" ({', '.join(values)})" if what == "commits" else ""
                mixed.setdefault(f"runs of different {what} are averaged{values_text}", []).append(row.label)
        if unlike := [what for what in row.unlike_softmax if what != TRAINING]:
            mixed.setdefault(f"compared with softmax of different {' and '.join(unlike)}", []).append(row.label)
    warnings = [f"{'; '.join(labels)}: {text}." for text, labels in mixed.items()]
    for row in group.rows:
        if row.repeated:
            names = ", ".join(run.name for run in row.repeated)
            warnings.append(f"{row.label}: runs that repeat a seed are not counted: {names}.")
        if TRAINING in row.unlike_softmax and row.reference:
            warnings.append(f"{row.label} was not trained as {row.reference.label} was: {row.protocol}.")
    return warnings


def accuracy_table(group: Group) -> Table:
    protocols = dict.fromkeys(row.protocol for row in group.rows)
    notes = ["Trained with " + (" | or with ".join(protocols)) + "."]
    declared = [row for row in group.rows if row.is_proposed and row.declared]
    reasons = ["by the grid" if row.plan else "as the only row of this head" for row in declared]
    notes += [f"Declared {reason}: {row.label}." for row, reason in zip(declared, reasons, strict=True)]
    if hidden := [row.label for row in group.rows if row.not_compared == NOT_DECLARED]:
        notes.append(f"Not compared with softmax, since not declared alone before the results: {'; '.join(hidden)}.")
    rows = []
    for row in group.rows:
        found = row.from_softmax
        against = str(found) if found else "" if row.is_softmax else row.not_compared
        against += ", paired" if found and found.method == PAIRED else ""
        waiting = f" (of {len(row.runs)})" if len(row.runs) > row.started else ""
        counts = f"{len(row.finished)}/{row.started}{waiting}"
        ours, paper, from_paper = shown(row.accuracy), shown(row.published), shown(row.from_paper)
        rows.append([row.label, row.tuned_on, counts, ours, paper, from_paper, against, detectable(found)])
    columns = ("Runs", "Accuracy", "Paper", "Ours − paper (95 %)", "Head − softmax (95 %)", "Detectable")
    caption = f"{group.title}: test accuracy of the last epoch, in percent"
    return Table(caption, ("Head", "Tuned on", *columns), rows, notes)


def sentence(row: Row) -> str:
    """What the runs show of a head compared with softmax; it says nothing more than an interval does."""
    found = row.from_softmax
    if found is None:
        return f"{row.label}: not compared with softmax, {row.not_compared}."
    ours, theirs = len(row.finished), len(row.reference.finished) if row.reference else 0
    runs = f"{ours} run{'s' if ours > 1 else ''}" + ("" if ours == theirs else f" against {theirs}")
    start = f"{row.label}: {signed(found.value)} points against softmax"
    ends = found.interval()
    if ends is None:
        return f"{start}, {runs}; no interval: {found.missing}."
    has_zero = ends[0] <= 0 <= ends[1]
    verdict = "The interval contains 0: these runs do not show a difference. " if has_zero else ""
    return (
        f"{start}, 95 % interval {found.interval_text()} ({found.method}), {runs}. {verdict}"
        f"With this spread they could have shown {found.detectable:.2f} points (80 % power). Finding a difference of "
        f"1 point takes {found.runs_for_one_point} runs of each, at 80 % power and if this spread holds."
    )


def cost_table(group: Group) -> Table:
    """The measures that at least one run has, time and memory."""
    columns: list[tuple[str, list[str]]] = [("Head", [row.label for row in group.rows])]
    notes: list[str] = []
    for measure in MEASURES:
        values = [row.mean(measure.name) for row in group.rows]
        if any(value is not None for value in values):
            columns.append((measure.heading, [shown(value, ".3f") for value in values]))
            if measure in REFITTED:
                refitted = [row.refitted(measure) for row in group.rows]
                columns.append(("refitted", [shown(value, ".3f") for value in refitted]))
                if any(new is None and old is not None for new, old in zip(refitted, values, strict=True)):
                    notes = [NO_SCALE]
    columns += [
        ("Best − last", [shown(row.mean("best_minus_last"), ".2f") for row in group.rows]),
        ("Minutes", [shown(row.minutes, ".1f") for row in group.rows]),
        ("Peak memory", [memory(row.peak_memory_bytes) for row in group.rows]),
        ("Commit", [", ".join(row.commits) or NONE for row in group.rows]),
    ]
    header, cells = zip(*columns, strict=True)
    caption = f"{group.title}: other measures and cost, means over the runs (memory: the highest)"
    return Table(caption, header, list(zip(*cells, strict=True)), notes)


def all_comparisons(compared: Sequence[Compared]) -> list[Block]:
    """All comparisons in one table, with intervals that hold for all of them together."""
    level = 1 - (1 - LEVEL) / len(compared)
    rows = [
        [name, signed(found.value), found.interval_text(), found.interval_text(level), found.method]
        for name, _, found in compared
    ]
    note = (
        f"{len(compared)} comparisons: if no head differed from softmax, {len(compared) * (1 - LEVEL):.2g} of the 95 % "
        "intervals would be expected to miss 0 all the same. Those for all together do so in at most 5 % "
        "of such studies (Bonferroni); only they may be read as a search for heads that differ."
    )
    header = ("Head", "Head − softmax", "95 % interval", "95 % for all together", "Method")
    table = Table("Differences in points of accuracy", header, rows, [note, *marks(compared)])
    return [Text("section", "All heads against softmax"), table]


def left_out(runs: Sequence[Run], groups: Sequence[Group]) -> list[Block]:
    """Runs that are not finished, with what is known of them; failed ones with their error."""
    unfinished = [run for run in runs if run.state not in (FINISHED, NOT_STARTED)]
    blocks: list[Block] = []
    if unfinished:
        rows = [[run.name, run.state, (run.note.strip().splitlines() or [""])[-1]] for run in unfinished]
        table = Table("They count as started", ("Run", "State", "Note"), rows)
        blocks += [Text("section", "Runs that are not finished"), table]
    for run in unfinished:
        if run.state == RunState.FAILED.value:
            error = "\n".join(run.note.splitlines()[-ERROR_LINES:])
            blocks += [Text("subsection", f"Error of {run.name}"), Text("listing", error)]
    if waiting := sum(run.state == NOT_STARTED for run in runs):
        blocks.append(Text("paragraph", f"{waiting} planned run{'s have' if waiting > 1 else ' has'} not started."))
    placed = {run.name for group in groups for row in group.rows for run in row.runs}
    if lost := ", ".join(run.name for run in unfinished if run.name not in placed):
        blocks.append(Text("paragraph", f"In no table, since their record does not say what they trained: {lost}."))
    return blocks


def comparison(rows: Sequence[Row], figures: Path) -> list[Block]:
    """Two rows: accuracies, their difference, the figures, and McNemar's test of one pair of networks."""
    labels, runs = [row.label for row in rows], [row.runs[0] for row in rows]
    name, places = " and ".join(labels), [f"{run.data.name}, {run.backbone.name}" for run in runs]
    cells = [[row.label, place, shown(row.accuracy), row.protocol] for row, place in zip(rows, places, strict=True)]
    caption = "Test accuracy of the last epoch, in percent: mean ± sample standard deviation (n)"
    found = difference(rows[1].accuracies, rows[0].accuracies)
    interval = f"95 % interval {found.interval_text()} ({found.method})"
    verdict = interval if found.interval() else f"no interval: {found.missing}"
    warnings = {
        "They differ in data or backbone": runs[0].images_and_backbone != runs[1].images_and_backbone,
        "They were trained differently": runs[0].protocol != runs[1].protocol,
    }
    return [
        Text("title", name),
        *(Text("warning", f"{what}: the difference is not the heads' alone.") for what, so in warnings.items() if so),
        Table(caption, ("", "Data and backbone", "Accuracy", "Trained with"), cells),
        Text("paragraph", f"{labels[1]} minus {labels[0]}: {signed(found.value)} points, {verdict}."),
        *pair_of_rows(rows, places[0] if places[0] == places[1] else name, "compare", figures),
    ]


def shown(value: object, spec: str = "") -> str:
    """A cell's text."""
    return NONE if value is None else format(value, spec)


def detectable(found: Difference | None) -> str:
    """E.g. 1.20; 5 runs for 1.00."""
    if found is None or found.detectable is None:
        return NONE
    return f"{found.detectable:.2f}; {found.runs_for_one_point} runs for 1.00"


def memory(size: float | None) -> str:
    if size is None:
        return NONE
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
