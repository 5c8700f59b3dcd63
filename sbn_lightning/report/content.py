"""What a report says, part by part."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sbn_lightning.report.comparisons import compare
from sbn_lightning.report.drawings import file_names, pair_of_group, pair_of_rows
from sbn_lightning.report.groups import Group
from sbn_lightning.report.power import FEWEST_PAIRS, FEWEST_RUNS
from sbn_lightning.report.render import Block, Bullets, Table, Text, fill
from sbn_lightning.report.rows import TO_SHARE, TRAINING, Row
from sbn_lightning.report.runs import FINISHED, MEASURES, NOT_STARTED, UNREADABLE, Run
from sbn_lightning.report.sentences import SCOPE, in_words, sentences_of, what_is_found
from sbn_lightning.report.tables import (
    accuracy_table,
    all_differences,
    cost_table,
    declared_rows,
    differences_of,
    probability_table,
    shown,
)
from sbn_lightning.run.records import RunState

ERROR_LINES = 12
"""Number of lines shown of a failed run's error, the last ones."""


def full_report(name: str, runs: Sequence[Run], groups: Sequence[Group], figures: Path) -> list[Block]:
    """Everything about the runs below a folder; writes the figures, too."""
    counts = Counter(run.state for run in runs)
    in_order = sorted(counts, key=lambda state: (state != FINISHED, state))
    states = ", ".join(f"{counts[state]} {state}" for state in in_order)
    summary = f"{len(runs)} run{'s' if len(runs) > 1 else ''}: {states}."
    blocks: list[Block] = [Text("title", f"Report on {name}"), Text("paragraph", summary)]
    damaged = [run for run in runs if run.state == UNREADABLE]
    blocks += [Text("warning", f"{run.name} is left out of all tables: {run.note.rstrip('.')}.") for run in damaged]
    if len(groups) > 1 and any(group.proposed and group.proposed.comparison for group in groups):
        blocks += [Text("section", "The declared SBN row against softmax"), declared_rows(groups)]
    for group, stem in zip(groups, file_names(group.title for group in groups), strict=True):
        blocks += [*section_of(group), *pair_of_group(group, stem, figures)]
    if len(differences_of(groups)) > 1:
        blocks += [Text("section", "All differences together"), *all_differences(groups)]
    how_to_read = fill(
        "how_to_read.txt.j2", str, fewest_pairs=FEWEST_PAIRS, fewest_runs=FEWEST_RUNS, measures=MEASURES, scope=SCOPE
    )
    paragraphs = Bullets([" ".join(paragraph.split()) for paragraph in how_to_read.split("\n\n")])
    return [*blocks, *left_out(runs, groups), Text("section", "How to read this"), paragraphs]


def section_of(group: Group) -> list[Block]:
    """Warnings, accuracy, a sentence for each head, the quality of the probabilities, other measures and cost."""
    warnings = [Text("warning", text) for text in warnings_of(group)]
    sentences = sentences_of(group.rows)
    bullets = [Bullets(sentences)] if sentences else []
    tables = [table for table in (probability_table(group), cost_table(group)) if table]
    return [Text("section", group.title), *warnings, accuracy_table(group), *bullets, *tables]


def warnings_of(group: Group) -> list[str]:
    """Return what makes a table's numbers less comparable than they look."""
    mixed: dict[str, list[str]] = {}
    for row in group.rows:
        for what in TO_SHARE:
            if len(values := row.values_of(what)) > 1:
                values_text = f" ({', '.join(values)})" if what == "commits" else ""
                mixed.setdefault(f"runs of different {what} are averaged{values_text}", []).append(row.label)
        found = row.comparison
        if found and (unlike := [what for what in found.unlike if what != TRAINING]):
            mixed.setdefault(f"compared with softmax of different {' and '.join(unlike)}", []).append(row.label)
    warnings = [f"{'; '.join(labels)}: {text}." for text, labels in mixed.items()]
    for row in group.rows:
        if row.repeated:
            names = ", ".join(run.name for run in row.repeated)
            warnings.append(f"{row.label}: runs that repeat a seed are not counted: {names}.")
        if row.comparison and TRAINING in row.comparison.unlike:
            warnings.append(f"{row.label} was not trained as {row.comparison.softmax.label} was: {row.protocol}.")
    return warnings


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
    """Two rows: accuracies, their difference, and the figures."""
    labels, runs = [row.label for row in rows], [row.runs[0] for row in rows]
    name, places = " and ".join(labels), [f"{run.data.name}, {run.backbone.name}" for run in runs]
    cells = [[row.label, place, shown(row.accuracy), row.protocol] for row, place in zip(rows, places, strict=True)]
    caption = "Test accuracy of the last epoch, in percent: mean ± sample standard deviation (n)"
    found = compare(rows[1], rows[0])
    power = found.accuracy.power
    warnings = {
        "They differ in data or backbone": runs[0].images_and_backbone != runs[1].images_and_backbone,
        "They were trained differently": runs[0].protocol != runs[1].protocol,
    }
    return [
        Text("title", name),
        *(Text("warning", f"{what}: the difference is not the heads' alone.") for what, so in warnings.items() if so),
        Table(
            caption,
            ("", "Data and backbone", "Accuracy", "Trained with"),
            cells,
            [SCOPE] if found.accuracy.interval() else [],
        ),
        Text("paragraph", f"{labels[1]} minus {labels[0]}: {in_words(found)}"),
        *([Text("paragraph", f"What such runs can find: {what_is_found(power)}")] if power else []),
        *pair_of_rows(rows, places[0] if places[0] == places[1] else name, "compare", figures),
    ]
