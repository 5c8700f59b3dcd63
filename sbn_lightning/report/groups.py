"""A report's tables: which runs make a row, and which rows make a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sbn_lightning.report.comparisons import compare_rows, hold_together
from sbn_lightning.report.names import row_labels, table_names
from sbn_lightning.report.rows import Row
from sbn_lightning.report.runs import Run


@dataclass(frozen=True)
class Group:
    """The rows of one dataset and backbone: what a table of the report shows."""

    dataset: str
    backbone: str
    rows: list[Row]

    @property
    def title(self) -> str:
        return f"{self.dataset}, {self.backbone}"

    @property
    def proposed(self) -> Row | None:
        """The declared row of the paper's head, if it has a finished run."""
        return next((row for row in self.rows if row.is_proposed and row.declared and row.finished), None)


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Return the tables with their rows, in the order of the grid or else of the folders.

    A run without a record is in the row of its grid's other seeds; if there is none, it is in no table.
    """
    tables: dict[tuple[Any, ...], dict[tuple[Any, ...], list[Run]]] = {}
    rows_of_plans: dict[tuple[str, ...], list[Run]] = {}
    for run in runs:
        if run.is_described:
            table = tables.setdefault((run.dataset, *run.images_and_backbone), {})
            settings, label = sorted(map(str, run.head.settings.items())), run.planned and run.planned.label
            row = table.setdefault((run.head.name, *settings, run.protocol, label), [])
            row.append(run)
            if plan := run.planned:
                rows_of_plans.setdefault((plan.dataset, plan.backbone, plan.label), row)
    for run in runs:
        if (plan := run.planned) and not run.is_described:
            rows_of_plans.get((plan.dataset, plan.backbone, plan.label), []).append(run)
    groups = [make_rows(list(rows.values())) for rows in tables.values()]
    names = table_names([rows[0].runs[0] for rows in groups])
    hold_together([row for rows in groups for row in rows])
    return [Group(dataset, backbone, rows) for (dataset, backbone), rows in zip(names, groups, strict=True)]


def make_rows(runs_of_rows: Sequence[Sequence[Run]]) -> list[Row]:
    """Return the rows of one table, softmax first."""
    labels = row_labels([runs[0] for runs in runs_of_rows])
    rows = [Row(label, runs) for label, runs in zip(labels, runs_of_rows, strict=True)]
    declare([row for row in rows if row.is_proposed])
    compare_rows(rows)
    return sorted(rows, key=lambda row: not row.is_softmax)


def declare(rows: Sequence[Row]) -> None:
    """Decide which row of the paper's head is compared with softmax: the only one that a grid declares, else the only
    one. (Rows of one head that differ in their training only count as one.)"""
    candidates = [row for row in rows if row.plan] or rows
    allowed = [row for row in candidates if row.declared]
    is_single = all(row.head.settings == allowed[0].head.settings for row in allowed)
    for row in rows:
        row.declared = is_single and row in allowed
