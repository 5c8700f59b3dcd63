"""What a report says, part by part."""

import gc
import itertools
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from sbn_lightning.report import wording
from sbn_lightning.report.cells import Group, Row, homeless, is_reference
from sbn_lightning.report.comparisons import mcnemar, summarize
from sbn_lightning.report.document import Block, Bullets, Caution, Heading, Listing, Paragraph, Table
from sbn_lightning.report.drawings import draw_pair, slug
from sbn_lightning.report.findings import IS_SOFTMAX, NOT_DECLARED, Finding, find, warnings_of
from sbn_lightning.report.how_to_read import HOW_TO_READ
from sbn_lightning.report.records import FINISHED, Run, UnreadableRecordError
from sbn_lightning.report.run_folders import by_state
from sbn_lightning.report.student_t import LEVEL

NO_SCALE = (
    "Refitted is left out where the record has none, or where in one of the runs a half of the test set is classified "
    "without any error: no finite scale fits that half best."
)
GROUPS_PER_PROCESS = 2
"""From so many on it pays to start a process for them."""
ERROR_LINES = 12
"""Of a failed run's error, the last ones."""


def full_report(title: str, runs: Sequence[Run], groups: Sequence[Group], figures: Path) -> list[Block]:
    """Everything about the runs below a folder; its figures are written on the way."""
    findings = {group.title: find(group) for group in groups}
    every = [finding for found in findings.values() for finding in found]
    states = ", ".join(f"{count} {state}" for state, count in by_state(runs))
    blocks: list[Block] = [
        Heading(1, f"Report on {title}"),
        Paragraph(f"{len(runs)} run{'s' if len(runs) > 1 else ''}: {states}."),
    ]
    headlines = [finding for finding in every if finding.row is finding.group.proposed and finding.from_softmax]
    if headlines and len(groups) > 1:
        blocks += [Heading(2, "The declared SBN row against softmax"), declared_table(headlines)]
    for group, drawn in zip(groups, pairs(groups, figures), strict=True):
        blocks += [Heading(2, group.title), *tables(group, findings[group.title]), *drawn]
    blocks += against_softmax(every)
    blocks += left_out(runs, groups)
    return [*blocks, Heading(2, "How to read this"), Bullets(HOW_TO_READ)]


def declared_table(findings: Iterable[Finding]) -> Table:
    """The paper's claim in one line per table."""
    header = ("Data and backbone", "Softmax", "SBN", "SBN − softmax (95 %)", "Paper: SBN − softmax", "Detectable")
    return Table("Test accuracy of the last epoch, in percent", header, [declared_row(finding) for finding in findings])


def declared_row(finding: Finding) -> list[str]:
    reference = finding.group.reference_of(finding.row)
    theirs, ours = reference and reference.published, finding.row.published
    return [
        f"{finding.group.title}: {finding.row.label}",
        wording.mean_and_std(summarize(list(reference.accuracies.values())) if reference else None),
        wording.mean_and_std(finding.accuracy),
        wording.with_interval(finding.from_softmax),
        wording.signed(ours.mean - theirs.mean) if ours and theirs else wording.NONE,
        wording.detectable(finding.from_softmax),
    ]


def tables(group: Group, findings: Sequence[Finding]) -> list[Block]:
    """Warnings, accuracy, the rest, and a sentence per head."""
    protocols = dict.fromkeys(row.protocol for row in group.rows)
    notes = ["Trained with " + (" | or with ".join(protocols)) + "."]
    notes += [f"Declared {row.declared_by}: {row.label}." for row in group.rows if row.declared_by]
    if hidden := [finding.row.label for finding in findings if finding.not_compared == NOT_DECLARED]:
        notes.append(f"Not set against softmax, since not declared before the results: {'; '.join(hidden)}.")
    accuracy = Table(
        f"{group.title}: test accuracy of the last epoch, in percent",
        ("Head", "Tuned on", "Runs", "Accuracy", "Paper", "Ours − paper (95 %)", "Head − softmax (95 %)", "Detectable"),
        [accuracy_row(finding) for finding in findings],
        notes,
    )
    cost = Table(
        f"{group.title}: calibration and cost, means over the runs",
        ("Head", "ECE", "refitted", "NLL", "refitted", "Best − last", "Minutes", "Peak memory", "Commit"),
        [cost_row(finding) for finding in findings],
        [NO_SCALE] if any(finding.ece is not None and finding.refitted_ece is None for finding in findings) else [],
    )
    sentences = [
        wording.sentence(finding) for finding in findings if finding.not_compared not in (IS_SOFTMAX, NOT_DECLARED)
    ]
    cautions = [Caution(text) for text in warnings_of(group)]
    return [*cautions, accuracy, *([Bullets(sentences)] if sentences else []), cost]


def accuracy_row(finding: Finding) -> list[str]:
    row, compared = finding.row, finding.from_softmax
    difference = wording.with_interval(compared, "" if finding.not_compared == IS_SOFTMAX else finding.not_compared)
    return [
        row.label,
        row.tuned_on,
        wording.runs(finding),
        wording.mean_and_std(finding.accuracy),
        wording.mean_and_std(row.published),
        wording.with_interval(finding.from_paper),
        difference + (", paired" if compared and compared.method == "paired by seed" else ""),
        wording.detectable(compared),
    ]


def cost_row(finding: Finding) -> list[str]:
    return [
        finding.row.label,
        wording.number(finding.ece),
        wording.number(finding.refitted_ece),
        wording.number(finding.nll),
        wording.number(finding.refitted_nll),
        wording.number(finding.flattered, 2),
        wording.number(finding.minutes, 1),
        wording.memory(finding.peak_memory_bytes),
        ", ".join(finding.commits) or wording.NONE,
    ]


def pairs(groups: Sequence[Group], figures: Path) -> list[list[Block]]:
    """`pair` of each group; of many on all cores, since matplotlib takes a tenth of a second for a figure."""
    workers = min(os.cpu_count() or 1, len(groups) // GROUPS_PER_PROCESS)
    if workers < 2:
        return [pair(group, figures) for group in groups]
    # gc.disable: there is nothing worth collecting in a few seconds, and looking for it costs a twentieth.
    with ProcessPoolExecutor(workers, get_context("spawn"), gc.disable) as processes:
        return list(processes.map(pair, groups, itertools.repeat(figures)))


def pair(group: Group, figures: Path) -> list[Block]:
    """Figures of softmax and the declared SBN row (else the first other that is finished and declared), and McNemar's
    test of one pair."""
    others = [row for row in group.rows if row.finished and row.declared and not is_reference(row)]
    other = group.proposed or next(iter(others), None)
    reference = group.reference_of(other or group.rows[0])
    rows = [row for row in (reference, other) if row is not None] or [row for row in group.rows if row.finished][:1]
    if not rows:
        return [Paragraph("There are no figures: no run is finished.")]
    return pair_of_rows(rows, group.title, slug(group.title), figures)


def pair_of_rows(rows: Sequence[Row], title: str, stem: str, figures: Path) -> list[Block]:
    """Figures and McNemar's test of one or two rows, for which the lowest seed that both have stands."""
    common = set.intersection(*(set(row.accuracies) for row in rows))
    seeds = {row.label: min(common or row.accuracies) for row in rows}
    blocks = draw_pair(rows, seeds, title, stem, figures)
    if len(rows) == 2:
        blocks += two_networks(*(row.run_of(seeds[row.label]) for row in rows))
    return blocks


def two_networks(first: Run, second: Run) -> list[Block]:
    """McNemar's test."""
    try:
        ours, theirs = first.stored("logits", "labels"), second.stored("logits", "labels")
    except UnreadableRecordError as error:
        return [Caution(f"McNemar's test is left out: {error}.")]
    if not ours or not theirs or not np.array_equal(ours["labels"], theirs["labels"]):
        why = "not both have a test.npz" if not ours or not theirs else "they were tested on different images"
        return [Caution(f"McNemar's test of {first.name} and {second.name} is left out: {why}.")]
    right = [arrays["logits"].astype(np.float32).argmax(1) == arrays["labels"] for arrays in (ours, theirs)]
    result = mcnemar(right[0].tolist(), right[1].tolist())
    return [Paragraph(wording.mcnemar_sentence(first.name, second.name, result))]


def against_softmax(findings: Sequence[Finding]) -> list[Block]:
    """All comparisons in one table, with intervals that hold for all of them together."""
    compared = [(finding, finding.from_softmax) for finding in findings if finding.from_softmax]
    if len(compared) < 2:
        return []
    level = 1 - (1 - LEVEL) / len(compared)
    rows = [
        [
            f"{finding.group.title}: {finding.row.label}",
            wording.signed(difference.value),
            wording.interval(difference),
            wording.interval(difference, level),
            difference.method,
        ]
        for finding, difference in compared
    ]
    note = (
        f"{len(compared)} comparisons: if no head differed from softmax, {len(compared) * (1 - LEVEL):.2g} of the 95 % "
        "intervals would be expected to miss 0 all the same. Those for all together do so in at most 5 % "
        "of such studies (Bonferroni); only they may be read as a search for heads that differ."
    )
    header = ("Head", "Head − softmax", "95 % interval", "95 % for all together", "Method")
    return [Heading(2, "All heads against softmax"), Table("Differences in points of accuracy", header, rows, [note])]


def left_out(runs: Sequence[Run], groups: Sequence[Group]) -> list[Block]:
    """Runs that are not finished, with what is known of them; failed ones with their error."""
    unfinished = [run for run in runs if run.state not in (FINISHED, "not started")]
    blocks: list[Block] = []
    if unfinished:
        rows = [[run.name, run.state, first_line(run)] for run in unfinished]
        blocks += [
            Heading(2, "Runs that are not finished"),
            Table("They count as started", ("Run", "State", "Note"), rows),
        ]
    for run in unfinished:
        if run.state == "failed":
            blocks += [Heading(3, f"Error of {run.name}"), Listing("\n".join(run.note.splitlines()[-ERROR_LINES:]))]
    if waiting := sum(run.state == "not started" for run in runs):
        blocks.append(Paragraph(f"{waiting} planned run{'s have' if waiting > 1 else ' has'} not started."))
    if lost := [run.name for run in homeless(runs, groups) if run.state not in (FINISHED, "not started")]:
        blocks.append(Paragraph(f"In no table, since their record does not say what they trained: {', '.join(lost)}."))
    return blocks


def first_line(run: Run) -> str:
    """A failed run's last line says what went wrong; other notes are short."""
    lines = run.note.strip().splitlines() or [""]
    return lines[-1]
