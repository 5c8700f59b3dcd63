"""The page about two runs, or two kinds of runs, that the user names."""

from pathlib import Path

from sbn_lightning.report import wording
from sbn_lightning.report.document import Block, Caution, Heading, Paragraph, Table
from sbn_lightning.report.keys import data_and_backbone
from sbn_lightning.report.pairs import pair_of_rows
from sbn_lightning.report.records import Data
from sbn_lightning.report.rows import Row
from sbn_lightning.report.statistics import difference, summarize


def compare_rows(first: Row, second: Row, figures: Path) -> list[Block]:
    """Accuracies, their difference, the figures, and McNemar's test of one pair of networks."""
    title = f"{first.label} and {second.label}"
    compared = difference(second.accuracies, first.accuracies)
    table = Table(
        "Test accuracy of the last epoch, in percent: mean ± sample standard deviation (n)",
        ("", "Data and backbone", "Accuracy", "Trained with"),
        [
            [row.label, where(row), wording.mean_and_std(summarize(list(row.accuracies.values()))), row.protocol]
            for row in (first, second)
        ],
    )
    verdict = f"{second.label} minus {first.label}: {wording.signed(compared.value)} points, " + (
        f"95 % interval {wording.interval(compared)} ({compared.method})."
        if compared.interval()
        else f"no interval: {compared.missing}."
    )
    about = where(first) if where(first) == where(second) else title
    cautions: list[Block] = []
    if data_and_backbone(facts_of(first)) != data_and_backbone(facts_of(second)):
        cautions.append(Caution("They differ in data or backbone: the difference is not the heads' alone."))
    if first.protocol != second.protocol:
        cautions.append(Caution("They were trained differently: the difference is not the heads' alone."))
    return [
        Heading(1, title),
        *cautions,
        table,
        Paragraph(verdict),
        *pair_of_rows([first, second], about, "compare", figures),
    ]


def where(row: Row) -> str:
    """Dataset and backbone."""
    facts = facts_of(row)
    return f"{facts['data']['name']}, {facts['model']['backbone']['name']}"


def facts_of(row: Row) -> Data:
    """Of a finished run."""
    return next(run.facts for run in row.runs if run.outcome)
