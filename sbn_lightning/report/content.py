"""What the report on a folder of runs says, part by part."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from sbn_lightning.report.differences import all_differences, declared_rows
from sbn_lightning.report.drawings import pictures_of, sets_of_rows
from sbn_lightning.report.forest import forest_of_heads, forest_of_tables
from sbn_lightning.report.groups import Group
from sbn_lightning.report.names import file_names, listed
from sbn_lightning.report.networks import compare_networks
from sbn_lightning.report.power import FEWEST_PAIRS, FEWEST_RUNS
from sbn_lightning.report.provenance import origin, table_of_runs
from sbn_lightning.report.render import Block, Bullets, Fold, Table, Text, fill
from sbn_lightning.report.rows import TO_SHARE, TRAINING
from sbn_lightning.report.runs import FINISHED, MEASURES, NOT_STARTED, UNREADABLE, Run
from sbn_lightning.report.tables import accuracy_table, cost_table, probability_table
from sbn_lightning.report.verdicts import MARGIN, verdicts, verdicts_of_tables
from sbn_lightning.run.records import RunState

ERROR_LINES = 12
"""Number of lines shown of a failed run's error, the last ones."""
NAMED = 5
"""The title names up to this number of heads; if there are more, it only says how many."""


def full_report(runs: Sequence[Run], groups: Sequence[Group], figures: Path, command: str) -> list[Block]:
    """Everything about the runs below a folder; writes the figures, too.

    Args:
        command: What made the report.
    """
    counts = Counter(run.state for run in runs)
    in_order = sorted(counts, key=lambda state: (state != FINISHED, state))
    states = ", ".join(f"{counts[state]} {state}" for state in in_order)
    if set(counts) == {FINISHED}:
        states = f"{'all ' if len(runs) > 1 else ''}{FINISHED}"
    summary = f"{len(runs)} run{'s' if len(runs) > 1 else ''}: {states}."
    blocks: list[Block] = [Text("title", title_of(groups)), Text("small", summary)]
    damaged = [run for run in runs if run.state == UNREADABLE]
    blocks += [Text("warning", f"{run.name} is left out of all tables: {run.note.rstrip('.')}.") for run in damaged]
    if len(groups) > 1:
        if points := verdicts_of_tables([group.rows for group in groups]):
            blocks.append(Bullets(points))
        if any(group.proposed and group.proposed.comparison for group in groups):
            blocks += [forest_of_tables(groups, figures), declared_rows(groups)]
    for group, stem in zip(groups, file_names(group.title for group in groups), strict=True):
        blocks += [Text("section", group.title)] if len(groups) > 1 else []
        blocks += section_of(group, stem, figures)
    blocks += left_out(runs, groups)
    if differences := all_differences(groups):
        blocks += [Text("section", "All comparisons"), *differences]
    blocks += origin(runs, command)
    if any(run.is_described for run in runs):
        blocks.append(Fold("Every run", [table_of_runs(runs)]))
    return [*blocks, Fold("How to read this", [how_to_read()])]


def title_of(groups: Sequence[Group]) -> str:
    """What is compared, and on what."""
    heads = list(dict.fromkeys(row.head.title for group in groups for row in group.rows))
    what = listed(heads) if len(heads) <= NAMED else f"{len(heads)} heads"
    if len(groups) == 1:
        return f"{what} on {groups[0].title}"
    data = list(dict.fromkeys(group.dataset for group in groups))
    return f"{what} on {listed(data)}" if groups else "No run has a record"


def section_of(group: Group, stem: str, figures: Path) -> list[Block]:
    """The verdicts beside the forest plot, warnings, accuracy, the quality of the probabilities, other measures and
    cost, and the figures."""
    sets = sets_of_rows(group.rows)
    points = verdicts(group.rows)
    blocks: list[Block] = [Bullets(points)] if points else []
    blocks += [forest_of_heads(sets, group.title, stem, figures)] if sets else []
    blocks += [Text("warning", text) for text in warnings_of(group)]
    blocks += [table for table in (accuracy_table(group), probability_table(group), cost_table(group)) if table]
    if not sets:
        return [*blocks, Text("paragraph", "There are no figures: no run is finished.")]
    for number, rows in enumerate(sets, start=1):
        title, file = group.title, stem
        if len(sets) > 1:
            title, file = f"{title} ({number} of {len(sets)})", f"{file}_{number}_of_{len(sets)}"
        blocks += pictures_of(rows, title, file, figures).values()
    for row in group.rows:
        if (found := row.comparison) and min(len(row.finished), len(found.softmax.finished)) == 1:
            blocks.append(compare_networks([found.softmax, row]))  # no interval says more
    return blocks


def how_to_read() -> Bullets:
    text = fill(
        "how_to_read.txt.j2", str, fewest_pairs=FEWEST_PAIRS, fewest_runs=FEWEST_RUNS, measures=MEASURES, margin=MARGIN
    )
    points = [" ".join(paragraph.split()).partition(": ") for paragraph in text.split("\n\n")]
    return Bullets([(f"{name}:", said) for name, _, said in points])


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
        table = Table("They count as started", ("Run", "State", "Note"), rows, name="unfinished")
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
