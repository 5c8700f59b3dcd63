"""The rows of a report's tables: means over runs, and their differences from softmax and from the paper."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sbn_lightning.report.runs import NOT_STARTED, Run
from sbn_lightning.report.statistics import Difference, Sample, against_published, difference, summarize
from sbn_lightning.run.measures import Measure, shown_in
from sbn_lightning.run.records import PlannedRun, Refitted, Settings

MEASURES = [measure for measure in shown_in("report") if measure.name != "accuracy"]
"""Shown beside the accuracy, which has a table of its own."""
REFITTED = [measure for measure in MEASURES if measure.name in Refitted.__struct_fields__]
"""Those that are also measured with the logits' scale refitted."""
REFERENCE = "SoftmaxHead"
"""The head that every other one is compared with."""
PROPOSED = "ScaledBatchNormHead"
"""The paper's head, of which one row is declared before there are results."""
TO_SHARE: dict[str, Callable[[Run], object]] = {
    "commits": lambda run: run.results.commit,
    "package versions": lambda run: sorted(run.results.versions.items()),
    "hardware": lambda run: run.results.hardware and (run.results.hardware.device, run.results.hardware.name),
}
"""What the runs of a row, and of the softmax row that it is compared with, should have in common."""
TRAINING = "training"
IS_SOFTMAX = "is softmax"
NOT_DECLARED = "not the declared one"


@dataclass(eq=False)
class Row:
    """Runs that differ in their seed only; accuracies are in percent, differences in points."""

    runs: list[Run]  # whatever their state; finished ones of one seed only once
    repeated: list[Run]  # finished runs that repeat a seed: they are listed, and count nowhere
    head: str  # its class
    settings: Settings  # of the head
    protocol: str  # how it was trained; the same for rows that may be compared
    label: str  # its name in the report
    declared: bool  # whether it may be compared with softmax
    softmax_rows: Sequence["Row"] = ()  # the finished ones of its table
    declared_by: str = ""  # why it is the declared one, for a row of the paper's head

    @property
    def is_softmax(self) -> bool:
        return self.head == REFERENCE

    @property
    def finished(self) -> list[Run]:
        """The finished runs, by seed."""
        return sorted((run for run in self.runs if run.is_finished), key=lambda run: run.seed)

    @property
    def started(self) -> int:
        """Number of runs that have started."""
        return sum(run.state != NOT_STARTED for run in self.runs)

    @property
    def planned(self) -> list[PlannedRun]:
        """The runs' entries in a grid."""
        return [run.planned for run in self.runs if run.planned]

    @property
    def tuned_on(self) -> str:
        """What the head's settings were chosen on."""
        if not self.planned:
            return "not recorded"
        plan = self.planned[0]
        return plan.tuned_on + (", in another training" if plan.paper and not self.published else "")

    @property
    def accuracies(self) -> dict[int, float]:
        """Accuracies of the last epoch on the test set, by seed."""
        return {run.seed: run.accuracy for run in self.finished}

    @property
    def accuracy(self) -> Sample | None:
        return summarize(list(self.accuracies.values())) if self.finished else None

    @property
    def published(self) -> Sample | None:
        """The paper's result, for runs that are trained like the paper's."""
        papers = [run.planned.published_for(run.results) for run in self.runs if run.planned and run.is_described]
        return next((Sample(paper.mean, paper.std, paper.runs) for paper in papers if paper), None)

    @property
    def from_paper(self) -> Difference | None:
        """Ours minus the paper's."""
        return against_published(self.accuracy, self.published) if self.accuracy and self.published else None

    @property
    def reference(self) -> "Row | None":
        """The finished softmax row that was trained as this one, or else the only one."""
        alike = [row for row in self.softmax_rows if row.protocol == self.protocol]
        return next(iter(alike or (self.softmax_rows if len(self.softmax_rows) == 1 else [])), None)

    @property
    def not_compared(self) -> str:
        """Why there is no difference from softmax; empty if there is one."""
        if self.is_softmax:
            return IS_SOFTMAX
        if not self.finished:
            return "no finished run"
        if not self.declared:
            return NOT_DECLARED
        if self.reference is None:
            return "no softmax was trained in the same way" if self.softmax_rows else "no finished softmax run"
        return ""

    @property
    def from_softmax(self) -> Difference | None:
        """This head minus softmax."""
        if self.not_compared or self.reference is None:
            return None
        return difference(self.accuracies, self.reference.accuracies)

    @property
    def unlike_softmax(self) -> list[str]:
        """In what it differs, besides its head, from the softmax row that it is compared with."""
        if self.not_compared or self.reference is None:
            return []
        theirs = self.reference
        training = [TRAINING] if self.protocol != theirs.protocol else []
        return training + [what for what in TO_SHARE if set(self.values_of(what)) != set(theirs.values_of(what))]

    def values_of(self, what: str) -> list[str]:
        """What the finished runs have of `TO_SHARE`, each value once, as text."""
        return list(dict.fromkeys(str(TO_SHARE[what](run)) for run in self.runs if run.is_finished))

    # Means over the finished runs; None where no run has a value.

    def measured(self, measure: Measure) -> float | None:
        return mean(run.test.metrics.get(measure.name) for run in self.finished)

    def refitted(self, measure: Measure) -> float | None:
        """With the logits' scale refitted; None unless every run has a value, for some would be a selection."""
        values = [getattr(run.test.refitted, measure.name, None) for run in self.finished]
        return None if None in values else mean(values)

    @property
    def best_minus_last(self) -> float | None:
        """Points that choosing the best test epoch would have added."""
        return mean(run.best_minus_last for run in self.finished)

    @property
    def minutes(self) -> float | None:
        """Duration of the training."""
        return mean(run.fit.seconds / 60 for run in self.finished)

    @property
    def peak_memory_bytes(self) -> int | None:
        """The highest peak of the runs."""
        return max((run.fit.peak_memory_bytes or 0 for run in self.finished), default=0) or None

    @property
    def commits(self) -> list[str]:
        return sorted({run.results.commit or "none" for run in self.finished})

    def run_of(self, seed: int) -> Run:
        """The finished run with a seed."""
        return next(run for run in self.finished if run.seed == seed)


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
        return next((row for row in self.rows if row.head == PROPOSED and row.declared and row.finished), None)


def mean(values: Iterable[float | None]) -> float | None:
    """Over those that are known; None if none is."""
    measured = [value for value in values if value is not None]
    return statistics.mean(measured) if measured else None
