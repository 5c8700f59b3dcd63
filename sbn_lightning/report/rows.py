"""A report's tables and their rows: means over runs, and their differences from softmax and from the paper."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sbn_lightning.report.runs import ALWAYS_SHOWN, MEASURES, NOT_STARTED, REFITTED, Run
from sbn_lightning.report.statistics import Difference, Sample, against_published, difference, summarize
from sbn_lightning.run.measures import Measure

REFERENCE = "SoftmaxHead"
"""The head that every other one is compared with."""
PROPOSED = "ScaledBatchNormHead"
"""The paper's head, of which one row is declared before there are results."""
NOT_DECLARED = "not the declared one"
TRAINING = "training"
TO_SHARE: dict[str, Callable[[Run], object]] = {
    "commits": lambda run: run.results.commit,
    "package versions": lambda run: sorted(run.results.versions.items()),
    "hardware": lambda run: run.results.hardware and (run.results.hardware.device, run.results.hardware.name),
}
"""What the runs of a row, and of the softmax row that it is compared with, should have in common."""


class Row:
    """Runs that differ in their seed only; accuracies are in percent, differences in points."""

    def __init__(self, label: str, runs: Sequence[Run]) -> None:
        first = runs[0]  # has a record, and speaks for all of them
        self.label = label  # its name in the report
        self.head, self.protocol, self.plan = first.head, first.protocol, first.planned
        self.is_softmax, self.is_proposed = self.head.name == REFERENCE, self.head.name == PROPOSED
        self.runs: list[Run] = []  # whatever their state; finished ones of one seed only once
        self.repeated: list[Run] = []  # finished runs that repeat a seed are no further evidence, and count nowhere
        for run in runs:
            is_repeated = run.is_finished and any(other.is_finished and other.seed == run.seed for other in self.runs)
            (self.repeated if is_repeated else self.runs).append(run)
        self.finished = sorted((run for run in self.runs if run.is_finished), key=lambda run: run.seed)
        self.started = sum(run.state != NOT_STARTED for run in self.runs)
        self.accuracies = {run.seed: run.accuracy for run in self.finished}
        self.accuracy = summarize(self.accuracies.values()) if self.finished else None
        paper = self.plan and self.plan.published_for(first.results)  # None in another training than the paper's
        self.published = Sample(paper.mean, paper.std, paper.runs) if paper else None
        self.from_paper = against_published(self.accuracy, self.published) if self.accuracy and self.published else None
        elsewhere = ", in another training" if self.plan and self.plan.paper and not self.published else ""
        self.tuned_on = self.plan.tuned_on + elsewhere if self.plan else "not recorded"
        self.declared = self.plan is None or self.plan.declared  # whether it may be compared with softmax
        self.minutes = statistics.mean(run.fit.seconds / 60 for run in self.finished) if self.finished else None
        self.peak_memory_bytes = max((run.fit.peak_memory_bytes or 0 for run in self.finished), default=0) or None
        self.commits = sorted({run.results.commit or "none" for run in self.finished})
        self.reference: Row | None = None  # the softmax row that it is compared with
        self.not_compared = ""  # why there is none
        self.from_softmax: Difference | None = None  # this head minus softmax
        self.unlike_softmax: list[str] = []  # in what the two differ besides the head

    def compare(self, softmax_rows: Sequence["Row"]) -> None:
        """Compare it with the finished softmax row that was trained as this one, or else with the only one."""
        finished = [row for row in softmax_rows if row.finished]
        alike = [row for row in finished if row.protocol == self.protocol]
        reasons = {
            "is softmax": self.is_softmax,
            "no finished run": not self.finished,
            NOT_DECLARED: not self.declared,
            "no finished softmax run": not finished,
            "no softmax was trained in the same way": not alike and len(finished) != 1,
        }
        self.not_compared = next((reason for reason, holds in reasons.items() if holds), "")
        if not self.not_compared:
            self.reference = theirs = (alike or finished)[0]
            self.from_softmax = difference(self.accuracies, theirs.accuracies)
            differing = [what for what in TO_SHARE if set(self.values_of(what)) != set(theirs.values_of(what))]
            self.unlike_softmax = differing if self.protocol == theirs.protocol else [TRAINING, *differing]

    def values_of(self, what: str) -> list[str]:
        """What the finished runs have of `TO_SHARE`, each value once, as text."""
        return list(dict.fromkeys(str(TO_SHARE[what](run)) for run in self.runs if run.is_finished))

    def mean(self, column: str, *, of_all: bool = False) -> float | None:
        """A column of runs.csv, averaged over the finished runs that have a value; None where none has one.

        Args:
            of_all: None also where a run has no value, for the mean of the others would be that of a selection.
        """
        values = [run.line()[column] for run in self.finished]
        known = [value for value in values if value is not None]
        return statistics.mean(known) if known and not (of_all and None in values) else None

    def refitted(self, measure: Measure) -> float | None:
        """The mean of a measure with the logits' scale refitted."""
        return self.mean(f"{measure.name}_refitted", of_all=True)

    def line(self) -> dict[str, Any]:
        """Its line in report.csv, without the columns of its table."""
        accuracy, published, found = self.accuracy, self.published, self.from_softmax
        return {
            "head": self.head.name,
            "label": self.label,
            **{name: self.head.settings.get(name) for name in ALWAYS_SHOWN},
            "tuned_on": self.tuned_on,
            "declared": self.declared,
            "runs_finished": len(self.finished),
            "runs_started": self.started,
            "runs_planned": len(self.runs),
            "accuracy_mean": accuracy and accuracy.mean,
            "accuracy_std": accuracy and accuracy.std,
            "paper_mean": published and published.mean,
            "paper_std": published and published.std,
            "paper_runs": published and published.n,
            **columns_of("from_paper", self.from_paper),
            **columns_of("from_softmax", found),
            "unlike_softmax_in": ", ".join(self.unlike_softmax),
            "from_softmax_method": found and found.method,
            "not_compared": self.not_compared,
            "detectable": found and found.detectable,
            "runs_for_one_point": found and found.runs_for_one_point,
            **{measure.name: self.mean(measure.name) for measure in MEASURES},
            **{f"{measure.name}_refitted": self.refitted(measure) for measure in REFITTED},
            "best_minus_last": self.mean("best_minus_last"),
            "minutes": self.minutes,
            "peak_memory_bytes": self.peak_memory_bytes,
            "commits": " ".join(self.commits),
            "trained_with": self.protocol,
        }


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


def columns_of(name: str, found: Difference | None) -> dict[str, float | None]:
    """A difference and the ends of its 95 % interval, for report.csv."""
    lower, upper = (found and found.interval()) or (None, None)
    return {name: found.value if found else None, f"{name}_lower": lower, f"{name}_upper": upper}


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
    is_single = all(row.head.settings == allowed[0].head.settings for row in allowed)
    for row in rows:
        row.declared = is_single and row in allowed


def table_names(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """Return the names of each table's dataset and backbone, with what distinguishes two tables that would read the
    same, given one run of each table."""
    names = [(run.dataset, run.backbone.title) for run in runs]
    of_data = distinct(names, [run.data_facts for run in runs])
    of_backbones = distinct(names, [run.backbone_facts for run in runs])
    return [
        (dataset + in_brackets(data), backbone + in_brackets(more))
        for (dataset, backbone), data, more in zip(names, of_data, of_backbones, strict=True)
    ]


def row_labels(runs: Sequence[Run]) -> list[str]:
    """Return a label for each row of a table, given one run of each: the head's title and settings; where these read
    the same, also what differs in the training, or else the grid's label."""
    settings = [[setting(name, value) for name, value in run.head.settings.items()] for run in runs]
    differing = distinct([run.head.name for run in runs], settings)
    labels = []
    for run, own, differs in zip(runs, settings, differing, strict=True):
        shown = [text for text in own if text in differs or text.split()[0] in ALWAYS_SHOWN]
        labels.append(", ".join([run.head.title, *shown]))
    training = [run.protocol.split("; ") for run in runs]
    of_grid = [[run.planned.label if run.planned else "not in the grid"] for run in runs]
    for facts in (training, of_grid):
        labels = ["; ".join([label, *more]) for label, more in zip(labels, distinct(labels, facts), strict=True)]
    return labels


def distinct(names: Sequence[object], facts: Sequence[Sequence[str]]) -> list[list[str]]:
    """Return those of each item's facts that not every item of the same name has."""
    items = list(zip(names, facts, strict=True))
    return [
        [fact for fact in own if any(name == other and fact not in theirs for other, theirs in items)]
        for name, own in items
    ]


def setting(name: str, value: object) -> str:
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


def in_brackets(facts: Sequence[str]) -> str:
    return f" ({', '.join(facts)})" if facts else ""
