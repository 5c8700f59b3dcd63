"""What a report says, part by part."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sbn_lightning.report import wording
from sbn_lightning.report.document import Block, Bullets, Caution, Heading, Listing, Paragraph, Table
from sbn_lightning.report.findings import IS_SOFTMAX, NOT_DECLARED, Finding, find, warnings_of
from sbn_lightning.report.how_to_read import HOW_TO_READ
from sbn_lightning.report.pairs import pairs
from sbn_lightning.report.records import FINISHED, Run
from sbn_lightning.report.rows import Group, homeless
from sbn_lightning.report.run_folders import by_state
from sbn_lightning.report.statistics import PAIRED, summarize
from sbn_lightning.report.student_t import LEVEL

NO_SCALE = (
    "Refitted is left out where the record has none, or where in one of the runs a half of the test set is classified "
    "without any error, or its logits tell nothing: no finite scale fits that half best."
)
MARK = "†"
"""After the name of a row that was not trained as its softmax was."""
ERROR_LINES = 12
"""Of a failed run's error, the last ones."""


def full_report(title: str, runs: Sequence[Run], groups: Sequence[Group], figures: Path) -> list[Block]:
    """Everything about the runs below a folder; its figures are written on the way."""
    findings = [find(group) for group in groups]
    every = [finding for found in findings for finding in found]
    states = ", ".join(f"{count} {state}" for state, count in by_state(runs))
    blocks: list[Block] = [
        Heading(1, f"Report on {title}"),
        Paragraph(f"{len(runs)} run{'s' if len(runs) > 1 else ''}: {states}."),
    ]
    headlines = [finding for finding in every if finding.row is finding.group.proposed and finding.from_softmax]
    if headlines and len(groups) > 1:
        blocks += [Heading(2, "The declared SBN row against softmax"), declared_table(headlines)]
    for group, found, drawn in zip(groups, findings, pairs(groups, figures), strict=True):
        blocks += [Heading(2, group.title), *tables(group, found), *drawn]
    blocks += against_softmax(every)
    blocks += left_out(runs, groups)
    return [*blocks, Heading(2, "How to read this"), Bullets(HOW_TO_READ)]


def declared_table(findings: Sequence[Finding]) -> Table:
    """The paper's claim in one line per table."""
    header = ("Data and backbone", "Softmax", "SBN", "SBN − softmax (95 %)", "Paper: SBN − softmax", "Detectable")
    rows = [declared_row(finding) for finding in findings]
    return Table("Test accuracy of the last epoch, in percent", header, rows, marks(findings))


def marked(finding: Finding) -> str:
    """Table and row, with a mark where softmax was trained otherwise."""
    return f"{finding.group.title}: {finding.row.label}" + (MARK if finding.unlike_softmax else "")


def marks(findings: Iterable[Finding]) -> list[str]:
    """What the marks mean, in one note; none without marks."""
    unlike = dict.fromkeys(what for finding in findings for what in finding.unlike_softmax)
    text = f"{MARK} Its softmax differs in more than the head, of these: {', '.join(unlike)}. See its table's warnings."
    return [text] if unlike else []


def declared_row(finding: Finding) -> list[str]:
    reference = finding.group.reference_of(finding.row)
    theirs, ours = reference and reference.published, finding.row.published
    return [
        marked(finding),
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
        f"{group.title}: calibration and cost, means over the runs (memory: the highest)",
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
        difference + (", paired" if compared and compared.method == PAIRED else ""),
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


def against_softmax(findings: Sequence[Finding]) -> list[Block]:
    """All comparisons in one table, with intervals that hold for all of them together."""
    compared = [(finding, finding.from_softmax) for finding in findings if finding.from_softmax]
    if len(compared) < 2:
        return []
    level = 1 - (1 - LEVEL) / len(compared)
    rows = [
        [
            marked(finding),
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
    more = marks(finding for finding, _ in compared)
    header = ("Head", "Head − softmax", "95 % interval", "95 % for all together", "Method")
    table = Table("Differences in points of accuracy", header, rows, [note, *more])
    return [Heading(2, "All heads against softmax"), table]


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
