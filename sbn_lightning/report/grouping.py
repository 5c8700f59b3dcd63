"""Sorts runs into tables (a dataset and a backbone) and rows (a head, its settings, its training), names both, and
decides which rows are compared with softmax."""

import json
from collections.abc import Sequence
from typing import Any

from sbn_lightning.report.rows import Group, Row
from sbn_lightning.report.runs import ALWAYS_SHOWN, Run
from sbn_lightning.run.records import PlannedRun


def group_runs(runs: Sequence[Run]) -> list[Group]:
    """Return the tables with their rows, in the order of the grid or else of the folders.

    A run without a record is in the row of its grid's other seeds; if there is none, it is in no table.
    """
    tables: dict[str, dict[str, list[Run]]] = {}
    rows_of_plans: dict[str, list[Run]] = {}
    for run in runs:
        if run.is_described:
            table = tables.setdefault(key_of(run.dataset, data_and_backbone(run)), {})
            label = run.planned and run.planned.label
            row = table.setdefault(key_of(run.head.name, run.head.settings, run.protocol, label), [])
            row.append(run)
            if run.planned:
                rows_of_plans.setdefault(plan_key(run.planned), row)
    for run in runs:
        if not run.is_described and run.planned:
            rows_of_plans.get(plan_key(run.planned), []).append(run)
    groups = [make_rows(list(rows.values())) for rows in tables.values()]
    names = table_names([rows[0].runs[0] for rows in groups])
    return [Group(dataset, backbone, rows) for (dataset, backbone), rows in zip(names, groups, strict=True)]


def make_rows(runs_of_rows: Sequence[Sequence[Run]]) -> list[Row]:
    """Return the rows of one table, softmax first."""
    labels = row_labels([runs[0] for runs in runs_of_rows])
    rows = [Row(label, runs) for label, runs in zip(labels, runs_of_rows, strict=True)]
    declare([row for row in rows if row.is_proposed])
    for row in rows:
        row.compare([other for other in rows if other.is_softmax])
    return sorted(rows, key=lambda row: not row.is_softmax)


def declare(rows: Sequence[Row]) -> None:
    """Decide which row of the paper's head is compared with softmax: the only one that a grid declares, else the only
    one. (Rows of one head that differ in their training only count as one.)"""
    candidates = [row for row in rows if row.plan] or rows
    allowed = [row for row in candidates if row.declared]
    is_single = len({key_of(row.head.settings) for row in allowed}) == 1
    for row in rows:
        row.declared = is_single and row in allowed


def data_and_backbone(run: Run) -> str:
    """A key that is the same for runs on the same images, in the same shape, with the same backbone."""
    data, backbone = run.data, run.backbone
    of_data = [data.name, data.classes, data.shape, data.fingerprint]
    return key_of(of_data, backbone.name, backbone.settings, backbone.parameters)


def plan_key(plan: PlannedRun) -> str:
    """A key that is the same for a grid's runs that differ in their seed only."""
    return key_of(plan.dataset, plan.backbone, plan.head, plan.label, plan.settings)


def key_of(*parts: Any) -> str:
    return json.dumps(parts, sort_keys=True, default=str)


def table_names(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return the names of each table's dataset and backbone, with what distinguishes two tables that would read the
    same, given one run of each table."""
    names = [(run.dataset, run.backbone.title) for run in runs]
    of_data, of_backbones = [], []
    for run in runs:
        shape = "×".join(map(str, run.data.shape or [])) or "unknown shape"
        of_data.append([run.data.name, f"{run.data.classes} classes", shape, f"data {run.data.fingerprint}"])
        settings = [f"{key}={value}" for key, value in run.backbone.settings.items()]
        of_backbones.append([*settings, f"{run.backbone.parameters} parameters"])
    datasets, backbones = (
        [f" ({', '.join(parts)})" if parts else "" for parts in distinct(names, facts)]
        for facts in (of_data, of_backbones)
    )
    return [(name[0] + data, name[1] + more) for name, data, more in zip(names, datasets, backbones, strict=True)]


def row_labels(runs: Sequence[Run]) -> list[str]:
    """Return a label for each row of a table, given one run of each: the head's title and settings; where these read
    the same, also what differs in the training, or else the grid's label."""
    settings = [{name: setting(name, value) for name, value in run.head.settings.items()} for run in runs]
    differing = distinct([run.head.name for run in runs], [list(own.values()) for own in settings])
    labels = []
    for run, own, differs in zip(runs, settings, differing, strict=True):
        shown = [text for name, text in own.items() if name in ALWAYS_SHOWN or text in differs]
        labels.append(", ".join([run.head.title, *shown]))
    training = [run.protocol.split("; ") for run in runs]
    of_grid = [[run.planned.label if run.planned else "not in the grid"] for run in runs]
    for parts in (training, of_grid):
        labels = ["; ".join([label, *more]) for label, more in zip(labels, distinct(labels, parts), strict=True)]
    return labels


def setting(name: str, value: object) -> str:
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def distinct(names: Sequence[object], parts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return those of each item's parts that not every item of the same name has."""
    same = [[other for name, other in zip(names, parts, strict=True) if name == own] for own in names]
    return [
        [part for part in own if any(part not in other for other in others)]
        for own, others in zip(parts, same, strict=True)
    ]
