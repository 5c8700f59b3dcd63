"""What a report says, part by part."""

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from sbn_lightning.report import wording
from sbn_lightning.report.findings import IS_SOFTMAX, MEASURES, NOT_DECLARED, REFITTED, Finding, find, warnings_of
from sbn_lightning.report.pairs import file_names, pair_of_group, pair_of_rows
from sbn_lightning.report.render import Block, Bullets, Table, Text
from sbn_lightning.report.rows import Group, Row, data_and_backbone
from sbn_lightning.report.runs import FINISHED, NOT_STARTED, Run
from sbn_lightning.report.statistics import FEWEST_PAIRS, LEVEL, PAIRED, difference, summarize
from sbn_lightning.run.records import RunState

NO_SCALE = (
    "Refitted is left out where in one of the runs a half of the test set is classified without any error, or its "
    "logits say nothing about the labels: no finite scale fits that half best."
)
MARK = "†"
"""After the name of a row that was not trained as its softmax was."""
ERROR_LINES = 12
"""Number of lines shown of a failed run's error, the last ones."""

HOW_TO_READ = (
    "Accuracy is that of the last epoch on the whole test set, in percent: mean ± sample standard deviation (n − 1) "
    "over the seeds, in brackets their number. Nothing was chosen by looking at the test set.",
    "Ours − paper: 95 % interval by Student's t from the pooled standard deviation of our runs and the paper's. "
    "The paper says neither what its ± is (taken to be the sample standard deviation, n − 1) nor which epoch it "
    "reports (here: the last); another meaning of either would change these differences.",
    "Head − softmax: 95 % interval, paired by seed if both have the same seeds, at least "
    f"{FEWEST_PAIRS} of them, and a correlation over the seeds that is above 0 at the one-sided 5 % level; else "
    "Welch's with Satterthwaite's degrees of freedom. With fewer seeds a correlation cannot be shown.",
    "Detectable: the smallest true difference from softmax that as many runs find with 80 % power at the two-sided 5 % "
    "level (noncentral t, pooled standard deviation; of the seeds' differences where they are paired), and the runs of "
    "each head that it takes for 1 point. It is estimated from the same few runs and is just as uncertain.",
    "One SBN row is declared before there are results: the only one that the grid declares; without a grid, the only "
    "one there is. Other scales are shown, and not compared with softmax: the best of several would look better than "
    "it is.",
    "Intervals are about other seeds on this test set, not about other images.",
    *(f"{measure.heading}: {measure.text}" for measure in MEASURES if measure.text),
    "Refitted: the logits times one scale, fitted by NLL on one random half of the test set and measured on the other, "
    "both ways; this uses test labels, and shows how much of the miscalibration is one wrong scale.",
    "Best − last: by how many points the best test epoch exceeds the last one, on average: how much choosing the epoch "
    "on the test set would have inflated the result.",
    "Minutes: training alone, mean over the runs, by the clock: runs that shared cores or a GPU (--jobs) took longer. "
    "Peak memory: the highest of the runs; allocated on a GPU, else resident.",
)


def full_report(name: str, runs: Sequence[Run], groups: Sequence[Group], figures: Path) -> list[Block]:
    """Everything about the runs below a folder; writes the figures, too."""
    findings = [find(group) for group in groups]
    every = [finding for found in findings for finding in found]
    counts = sorted(Counter(run.state for run in runs).items(), key=lambda item: (item[0] != FINISHED, item[0]))
    states = ", ".join(f"{count} {state}" for state, count in counts)
    blocks: list[Block] = [
        Text("title", f"Report on {name}"),
        Text("paragraph", f"{len(runs)} run{'s' if len(runs) > 1 else ''}: {states}."),
    ]
    headlines = [finding for finding in every if finding.row is finding.group.proposed and finding.from_softmax]
    if headlines and len(groups) > 1:
        blocks += [Text("section", "The declared SBN row against softmax"), declared_table(headlines)]
    stems = file_names(group.title for group in groups)
    for group, found, stem in zip(groups, findings, stems, strict=True):
        blocks += [Text("section", group.title), *tables(group, found), *pair_of_group(group, stem, figures)]
    blocks += against_softmax(every)
    blocks += left_out(runs, groups)
    return [*blocks, Text("section", "How to read this"), Bullets(HOW_TO_READ)]


def declared_table(findings: Sequence[Finding]) -> Table:
    """The paper's claim in one line for each table."""
    header = ("Data and backbone", "Softmax", "SBN", "SBN − softmax (95 %)", "Paper: SBN − softmax", "Detectable")
    rows = [declared_row(finding) for finding in findings]
    return Table("Test accuracy of the last epoch, in percent", header, rows, marks(findings))


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


def marked(finding: Finding) -> str:
    """Table and row, with a mark where softmax was trained in another way."""
    return f"{finding.group.title}: {finding.row.label}" + (MARK if finding.unlike_softmax else "")


def marks(findings: Iterable[Finding]) -> list[str]:
    """A note on what the marks mean; none without marks."""
    unlike = dict.fromkeys(what for finding in findings for what in finding.unlike_softmax)
    text = f"{MARK} Its softmax differs in more than the head, of these: {', '.join(unlike)}. See its table's warnings."
    return [text] if unlike else []


def tables(group: Group, findings: Sequence[Finding]) -> list[Block]:
    """Warnings, accuracy, a sentence for each head, other measures and cost."""
    protocols = dict.fromkeys(row.protocol for row in group.rows)
    notes = ["Trained with " + (" | or with ".join(protocols)) + "."]
    notes += [f"Declared {row.declared_by}: {row.label}." for row in group.rows if row.declared_by]
    if hidden := [finding.row.label for finding in findings if finding.not_compared == NOT_DECLARED]:
        notes.append(f"Not compared with softmax, since not declared before the results: {'; '.join(hidden)}.")
    accuracy = Table(
        f"{group.title}: test accuracy of the last epoch, in percent",
        ("Head", "Tuned on", "Runs", "Accuracy", "Paper", "Ours − paper (95 %)", "Head − softmax (95 %)", "Detectable"),
        [accuracy_row(finding) for finding in findings],
        notes,
    )
    sentences = [
        wording.sentence(finding) for finding in findings if finding.not_compared not in (IS_SOFTMAX, NOT_DECLARED)
    ]
    cautions = [Text("warning", text) for text in warnings_of(group)]
    return [*cautions, accuracy, *([Bullets(sentences)] if sentences else []), cost_table(group, findings)]


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


def cost_table(group: Group, findings: Sequence[Finding]) -> Table:
    """The measures that at least one run has, time and memory."""
    columns: list[tuple[str, list[str]]] = [("Head", [finding.row.label for finding in findings])]
    notes: list[str] = []
    for measure in MEASURES:
        values = [finding.measured(measure) for finding in findings]
        if any(value is not None for value in values):
            columns.append((measure.heading, list(map(wording.number, values))))
            if measure in REFITTED:
                refitted = [finding.refitted(measure) for finding in findings]
                columns.append(("refitted", list(map(wording.number, refitted))))
                has_gaps = any(new is None and old is not None for new, old in zip(refitted, values, strict=True))
                notes = [NO_SCALE] if has_gaps else notes
    columns += [
        ("Best − last", [wording.number(finding.best_minus_last, 2) for finding in findings]),
        ("Minutes", [wording.number(finding.minutes, 1) for finding in findings]),
        ("Peak memory", [wording.memory(finding.peak_memory_bytes) for finding in findings]),
        ("Commit", [", ".join(finding.commits) or wording.NONE for finding in findings]),
    ]
    header, cells = zip(*columns, strict=True)
    caption = f"{group.title}: other measures and cost, means over the runs (memory: the highest)"
    return Table(caption, header, list(zip(*cells, strict=True)), notes)


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
    header = ("Head", "Head − softmax", "95 % interval", "95 % for all together", "Method")
    notes = [note, *marks(finding for finding, _ in compared)]
    return [
        Text("section", "All heads against softmax"),
        Table("Differences in points of accuracy", header, rows, notes),
    ]


def left_out(runs: Sequence[Run], groups: Sequence[Group]) -> list[Block]:
    """Runs that are not finished, with what is known of them; failed ones with their error."""
    unfinished = [run for run in runs if run.state not in (FINISHED, NOT_STARTED)]
    blocks: list[Block] = []
    if unfinished:
        rows = [[run.name, run.state, (run.note.strip().splitlines() or [""])[-1]] for run in unfinished]
        blocks += [
            Text("section", "Runs that are not finished"),
            Table("They count as started", ("Run", "State", "Note"), rows),
        ]
    for run in unfinished:
        if run.state == RunState.FAILED.value:
            blocks += [
                Text("subsection", f"Error of {run.name}"),
                Text("listing", "\n".join(run.note.splitlines()[-ERROR_LINES:])),
            ]
    if waiting := sum(run.state == NOT_STARTED for run in runs):
        blocks.append(Text("paragraph", f"{waiting} planned run{'s have' if waiting > 1 else ' has'} not started."))
    placed = {id(run) for group in groups for row in group.rows for run in [*row.runs, *row.repeated]}
    if lost := [run.name for run in unfinished if id(run) not in placed]:
        names = ", ".join(lost)
        blocks.append(Text("paragraph", f"In no table, since their record does not say what they trained: {names}."))
    return blocks


def comparison(first: Row, second: Row, figures: Path) -> list[Block]:
    """Two rows: accuracies, their difference, the figures, and McNemar's test of one pair of networks."""
    name = f"{first.label} and {second.label}"
    compared = difference(second.accuracies, first.accuracies)
    table = Table(
        "Test accuracy of the last epoch, in percent: mean ± sample standard deviation (n)",
        ("", "Data and backbone", "Accuracy", "Trained with"),
        [
            [row.label, place(row), wording.mean_and_std(summarize(list(row.accuracies.values()))), row.protocol]
            for row in (first, second)
        ],
    )
    verdict = f"{second.label} minus {first.label}: {wording.signed(compared.value)} points, " + (
        f"95 % interval {wording.interval(compared)} ({compared.method})."
        if compared.interval()
        else f"no interval: {compared.missing}."
    )
    blocks: list[Block] = [Text("title", name)]
    if data_and_backbone(first.finished[0]) != data_and_backbone(second.finished[0]):
        blocks.append(Text("warning", "They differ in data or backbone: the difference is not the heads' alone."))
    if first.protocol != second.protocol:
        blocks.append(Text("warning", "They were trained differently: the difference is not the heads' alone."))
    about = place(first) if place(first) == place(second) else name
    return [*blocks, table, Text("paragraph", verdict), *pair_of_rows([first, second], about, "compare", figures)]


def place(row: Row) -> str:
    """Dataset and backbone."""
    run = row.finished[0]
    return f"{run.data.name}, {run.backbone.name}"
