"""Sorts runs into tables (a dataset and a backbone) and rows (a head, its settings and its training); names both."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sbn_lightning.report.runs import Run
from sbn_lightning.report.statistics import Sample
from sbn_lightning.run.records import PlannedRun, Settings

REFERENCE = "SoftmaxHead"
"""The head that every other one is compared with."""
PROPOSED = "ScaledBatchNormHead"
"""The paper's head, of which one row is declared before there are results."""
ALWAYS_SHOWN = ("scale", "margin")
"""Settings in a row's label even where all rows of the head agree on them; others only where they differ."""


@dataclass
class Row:
    """Runs that differ in their seed only.

    Args:
        head: The head's class.
        settings: The head's settings.
        protocol: How it was trained, for people; the same for rows that may be compared.
        label: Its name in the report.
        runs: All of them, whatever their state; finished ones of one seed only once.
        repeated: Finished runs that repeat a seed: they are listed, and count nowhere.
        declared: Whether it may be compared with softmax.
        declared_by: Why it is the declared one, for a row of the paper's head.
    """

    head: str
    settings: Settings
    protocol: str
    label: str
    runs: list[Run]
    repeated: list[Run]
    declared: bool = True
    declared_by: str = ""

    @property
    def finished(self) -> list[Run]:
        """The finished runs, by seed."""
        return sorted((run for run in self.runs if run.is_finished), key=lambda run: run.seed)

    @property
    def accuracies(self) -> dict[int, float]:
        """Accuracies of the last epoch, in percent, by seed."""
        return {run.seed: run.accuracy for run in self.finished}

    @property
    def planned(self) -> list[PlannedRun]:
        """The runs' entries in a grid."""
        return [run.planned for run in self.runs if run.planned]

    @property
    def published(self) -> Sample | None:
        """The paper's result, for runs that are trained like the paper's."""
        papers = [run.planned.published_for(run.results) for run in self.runs if run.planned and run.is_described]
        return next((Sample(paper.mean, paper.std, paper.runs) for paper in papers if paper), None)

    @property
    def tuned_on(self) -> str:
        """What the head's settings were chosen on."""
        planned = next(iter(self.planned), None)
        if planned is None:
            return "not recorded"
        return planned.tuned_on + (", in another training" if planned.paper and not self.published else "")

    def run_of(self, seed: int) -> Run:
        """The finished run with a seed."""
        return next(run for run in self.finished if run.seed == seed)


@dataclass
class Group:
    """The rows of one dataset and backbone: what a table of the report shows."""

    dataset: str
    backbone: str
    rows: list[Row]

    @property
    def title(self) -> str:
        return f"{self.dataset}, {self.backbone}"

    def reference_of(self, row: Row) -> Row | None:
        """Return the softmax row that was trained as this one, or else the only one; None if none is finished."""
        candidates = [other for other in self.rows if is_reference(other) and other.finished]
        alike = [other for other in candidates if other.protocol == row.protocol]
        return next(iter(alike or (candidates if len(candidates) == 1 else [])), None)

    @property
    def proposed(self) -> Row | None:
        """The declared row of the paper's head, if it has a finished run."""
        return next((row for row in self.rows if row.head == PROPOSED and row.declared and row.finished), None)


def is_reference(row: Row) -> bool:
    return row.head == REFERENCE


def group_runs(runs: Iterable[Run]) -> list[Group]:
    """Return the tables with their rows, in the order of the grid or else of the folders.

    A run without a record is in the row of its grid's other seeds; if there is none, it is in no table.
    """
    groups: dict[str, dict[str, list[Run]]] = {}
    rows_of_plans: dict[str, list[Run]] = {}
    runs = list(runs)
    for run in runs:
        if run.is_described:
            row = groups.setdefault(table_key(run), {}).setdefault(row_key(run), [])
            row.append(run)
            if run.planned:
                rows_of_plans.setdefault(plan_key(run.planned), row)
    for run in runs:
        if not run.is_described and run.planned and plan_key(run.planned) in rows_of_plans:
            rows_of_plans[plan_key(run.planned)].append(run)
    tables = [list(rows.values()) for rows in groups.values()]
    names = table_names([described(rows[0]) for rows in tables])
    return [Group(dataset, backbone, make_rows(rows)) for rows, (dataset, backbone) in zip(tables, names, strict=True)]


def make_rows(rows_of_runs: Sequence[Sequence[Run]]) -> list[Row]:
    """Return the rows of one table, softmax first."""
    rows = []
    for runs in rows_of_runs:
        head, protocol = described(runs).head, described(runs).protocol
        declared = all(run.planned.declared for run in runs if run.planned)
        rows.append(Row(head.name, head.settings, protocol, head.title, *once_per_seed(runs), declared))
    add_to_labels(rows)
    declare([row for row in rows if row.head == PROPOSED])
    return sorted(rows, key=lambda row: not is_reference(row))


def once_per_seed(runs: Iterable[Run]) -> tuple[list[Run], list[Run]]:
    """Return the runs that count, and finished ones that repeat a seed: the same seed is no further evidence."""
    kept: list[Run] = []
    repeated: list[Run] = []
    seeds = set()
    for run in runs:
        again = run.is_finished and run.seed in seeds
        (repeated if again else kept).append(run)
        if run.is_finished:
            seeds.add(run.seed)
    return kept, repeated


def declare(rows: Sequence[Row]) -> None:
    """Decide which row of the paper's head is compared with softmax: the only one that a grid declares, else the only
    one. (Rows of one head that differ in their training only count as one.)"""
    in_grid = [row for row in rows if row.planned]
    by, allowed = ("by the grid", in_grid) if in_grid else ("as the only row of this head", rows)
    allowed = [row for row in allowed if row.declared]
    is_single = len({key_of(row.settings) for row in allowed}) == 1
    for row in rows:
        row.declared = is_single and any(row is one for one in allowed)
        row.declared_by = by if row.declared else ""


def table_key(run: Run) -> str:
    """A key that is the same for the runs of one table: one dataset, by the grid's name for it, and one backbone."""
    return key_of([run.dataset, data_and_backbone(run)])


def data_and_backbone(run: Run) -> str:
    """A key that is the same for runs on the same images, in the same shape, with the same backbone."""
    data, backbone = run.data, run.backbone
    of_backbone = [backbone.name, backbone.settings, backbone.parameters]
    return key_of([data.name, data.classes, data.shape, data.fingerprint, of_backbone])


def row_key(run: Run) -> str:
    """A key that is the same for runs that differ in their seed only, or in what `findings.DIFFERENT` warns of."""
    return key_of([run.head.name, run.head.settings, run.protocol, run.planned and run.planned.label])


def plan_key(plan: PlannedRun) -> str:
    """A key that is the same for a grid's runs that differ in their seed only."""
    return key_of([plan.dataset, plan.backbone, plan.head, plan.label, plan.settings])


def key_of(parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, default=str)


def described(runs: Iterable[Run]) -> Run:
    """The first run whose record says what it trains."""
    return next(run for run in runs if run.is_described)


def table_names(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return the names of each table's dataset and backbone, with what distinguishes two that would read the same.

    Args:
        runs: One run of each table.
    """
    names = [(run.dataset, run.backbone.title) for run in runs]
    of_data, of_backbones = [], []
    for run in runs:
        shape = "×".join(map(str, run.data.shape or [])) or "unknown shape"
        of_data.append([run.data.name, f"{run.data.classes} classes", shape, f"data {run.data.fingerprint}"])
        settings = [f"{key}={value}" for key, value in run.backbone.settings.items()]
        of_backbones.append([*settings, f"{run.backbone.parameters} parameters"])
    return [
        (dataset + in_brackets(about_data), backbone + in_brackets(about_backbone))
        for (dataset, backbone), about_data, about_backbone in zip(
            names, distinct(names, of_data), distinct(names, of_backbones), strict=True
        )
    ]


def in_brackets(parts: Sequence[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""


def add_to_labels(rows: Sequence[Row]) -> None:
    """Add the settings to the heads' titles; to labels that still read the same, what differs in the training, or else
    the grid's label."""
    settings = [{name: setting(name, value) for name, value in row.settings.items()} for row in rows]
    differing = distinct([row.head for row in rows], [list(own.values()) for own in settings])
    for row, own, differs in zip(rows, settings, differing, strict=True):
        shown = [text for name, text in own.items() if name in ALWAYS_SHOWN or text in differs]
        row.label = ", ".join([row.label, *shown])
    for parts in (
        [row.protocol.split("; ") for row in rows],
        [[row.planned[0].label if row.planned else "not in the grid"] for row in rows],
    ):
        for row, differs in zip(rows, distinct([row.label for row in rows], parts), strict=True):
            row.label = "; ".join([row.label, *differs])


def setting(name: str, value: object) -> str:
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def distinct(names: Sequence[object], parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return those of each item's parts that not every item of the same name has."""
    same = [[other for name, other in zip(names, parts, strict=True) if name == own] for own in names]
    return [
        [part for part in own if any(part not in other for other in others)]
        for own, others in zip(parts, same, strict=True)
    ]
