"""Sorts runs into tables (a dataset and a backbone) and rows (a head with its settings and its training)."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sbn_lightning.report.keys import dataset_of, key_of, planned_key, protocol, row_key, table_key
from sbn_lightning.report.names import name_of, titles
from sbn_lightning.report.records import Data, Outcome, Run
from sbn_lightning.report.statistics import Sample

REFERENCE = "SoftmaxHead"
"""The head that every other one is compared with."""
PROPOSED = "ScaledBatchNormHead"
"""The paper's head, of which one row is declared before there are results."""
DECLARED_SCALE = 0.9
"""The scale that is taken as declared where no grid.json says so."""


@dataclass
class Row:
    """Runs that differ in their seed only.

    Args:
        head: The head's class.
        settings: The head's settings.
        protocol: How it was trained, for people; the same for rows that may be compared.
        label: Its name in the report.
        runs: All of them, whatever their state; finished ones of one seed only once.
        repeated: Finished runs of a seed that is there already: they are listed, and count nowhere.
        declared: Whether it may be set against softmax.
        declared_by: What says so, for a row of the paper's head.
    """

    head: str
    settings: Data
    protocol: str
    label: str
    runs: list[Run]
    repeated: list[Run]
    declared: bool = True
    declared_by: str = ""

    @property
    def finished(self) -> list[tuple[int, Outcome]]:
        """(seed, outcome), by seed."""
        return sorted(((run.seed, run.outcome) for run in self.runs if run.outcome), key=lambda pair: pair[0])

    @property
    def accuracies(self) -> dict[int, float]:
        """Of the last epoch, in percent, by seed."""
        return {seed: outcome.accuracy for seed, outcome in self.finished}

    @property
    def tuned_on(self) -> str:
        return str(self._planned("tuned_on") or "not recorded")

    @property
    def declared_in_grid(self) -> bool | None:
        """What the grid says; None for runs outside of one."""
        return next((bool(run.planned["declared"]) for run in self.runs if "declared" in run.planned), None)

    @property
    def published(self) -> Sample | None:
        paper = self._planned("paper")
        return Sample(paper["mean"], paper["std"], paper["runs"]) if paper else None

    def run_of(self, seed: int) -> Run:
        """The finished run with a seed."""
        return next(run for run in self.runs if run.outcome and run.seed == seed)

    def _planned(self, key: str) -> Any:
        return next((run.planned[key] for run in self.runs if run.planned.get(key)), None)


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
        """The softmax row that was trained as this one, or else the only one; None if no such row has a finished
        run."""
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
    """Tables and their rows, in the order of the grid or else of the folders; runs without facts are left out unless
    the grid says where they belong."""
    groups: dict[str, tuple[Run, dict[str, list[Run]]]] = {}
    homes: dict[str, tuple[str, str]] = {}
    runs = list(runs)
    for run in runs:
        if run.facts:
            table, row = table_key(run), row_key(run)
            groups.setdefault(table, (run, {}))[1].setdefault(row, []).append(run)
            if run.planned:
                homes.setdefault(planned_key(run.planned), (table, row))
    for run in runs:
        if not run.facts and run.planned and (home := homes.get(planned_key(run.planned))):
            groups[home[0]][1][home[1]].append(run)
    distinct = titles([(dataset_of(first), first.facts) for first, _ in groups.values()])
    return [
        Group(dataset, backbone, order_and_declare(list(rows.values())))
        for (_, rows), (dataset, backbone) in zip(groups.values(), distinct, strict=True)
    ]


def homeless(runs: Iterable[Run], groups: Sequence[Group]) -> list[Run]:
    """Runs that are in no table."""
    placed = {id(run) for group in groups for row in group.rows for run in [*row.runs, *row.repeated]}
    return [run for run in runs if id(run) not in placed]


def order_and_declare(rows_of_runs: Sequence[list[Run]]) -> list[Row]:
    """Rows with softmax first; repeated seeds apart; of the paper's head only the declared row may meet softmax."""
    heads = [next(run.facts for run in runs if run.facts)["model"]["head"] for runs in rows_of_runs]
    protocols = [protocol(next(run.facts for run in runs if run.facts)) for runs in rows_of_runs]
    rows = []
    for head, trained, runs in zip(heads, protocols, rows_of_runs, strict=True):
        alike = [other["settings"] for other in heads if other["name"] == head["name"]]
        kept, repeated = once_per_seed(runs)
        rows.append(Row(head["name"], head["settings"], trained, name_of(head, alike), kept, repeated))
    tell_apart(rows)
    for row in rows:
        row.declared = row.declared_in_grid is not False
    declare([row for row in rows if row.head == PROPOSED])
    return sorted(rows, key=lambda row: not is_reference(row))


def once_per_seed(runs: Iterable[Run]) -> tuple[list[Run], list[Run]]:
    """Runs to count, and finished ones whose seed is among them: the same seed again is no further evidence."""
    kept: list[Run] = []
    repeated: list[Run] = []
    seeds = set()
    for run in runs:
        again = run.outcome is not None and run.seed in seeds
        (repeated if again else kept).append(run)
        if run.outcome is not None:
            seeds.add(run.seed)
    return kept, repeated


def tell_apart(rows: Sequence[Row]) -> None:
    """Add to names that would read the same what differs in the training, or else the grid's label."""
    by_label: dict[str, list[Row]] = {}
    for row in rows:
        by_label.setdefault(row.label, []).append(row)
    for label, same in by_label.items():
        parts = [row.protocol.split("; ") for row in same]
        told = [[part for part in own if any(part not in other for other in parts)] for own in parts]
        for row, own in zip(same, told, strict=True):
            twice = told.count(own) > 1
            planned = [str(row.runs[0].planned.get("label", "not in the grid"))] if twice else []
            row.label = "; ".join([label, *own, *planned])


def declare(rows: Sequence[Row]) -> None:
    """Settle which row of the paper's head may meet softmax: the one that the grid declares; where it declares none,
    or several, scale 0.9; else the only one."""
    allowed = [row for row in rows if row.declared_in_grid is not False]
    rules: dict[str, list[Row]] = {
        "by the grid": [row for row in rows if row.declared_in_grid],
        f"as scale {DECLARED_SCALE}": [row for row in allowed if row.settings.get("scale") == DECLARED_SCALE],
        "as the only row of this head": allowed if len(rows) == 1 else [],
    }
    by, chosen = next(((by, found) for by, found in rules.items() if one_scale(found)), ("", []))
    for row in rows:
        row.declared = any(row is one for one in chosen)
        row.declared_by = by if row.declared else ""


def one_scale(rows: Sequence[Row]) -> bool:
    """Whether there is a row, and no other head among them (one head may have been trained in several ways)."""
    return len({key_of(row.settings) for row in rows}) == 1
