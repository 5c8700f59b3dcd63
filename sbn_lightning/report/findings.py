"""What the runs of a row measured, and what they say about its difference from softmax and from the paper."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sbn_lightning.report.rows import Group, Row, is_reference
from sbn_lightning.report.runs import Run
from sbn_lightning.report.statistics import Difference, Sample, against_published, difference, summarize
from sbn_lightning.run.measures import Measure, shown_in
from sbn_lightning.run.records import Refitted

MEASURES = [measure for measure in shown_in("report") if measure.name != "accuracy"]
"""Shown beside the accuracy, which has a table of its own."""
REFITTED = [measure for measure in MEASURES if measure.name in Refitted.__struct_fields__]
"""Those that are also measured with the logits' scale refitted."""
DIFFERENT: dict[str, Callable[[Run], object]] = {
    "commits": lambda run: run.results.commit,
    "package versions": lambda run: sorted(run.results.versions.items()),
    "hardware": lambda run: run.results.hardware and (run.results.hardware.device, run.results.hardware.name),
}
"""What the runs of a row, and of the softmax row that it is compared with, should have in common."""
TRAINING = "training"
IS_SOFTMAX = "is softmax"
NOT_DECLARED = "not declared"


@dataclass(frozen=True)
class Finding:
    """The numbers of one row.

    Args:
        accuracy: Last epoch, test set, percent; None without a finished run.
        from_paper: Ours minus the paper's; None where one of them is missing.
        from_softmax: This head minus softmax; None where not_compared says why.
    """

    group: Group
    row: Row
    accuracy: Sample | None
    from_paper: Difference | None
    from_softmax: Difference | None
    not_compared: str

    @property
    def commits(self) -> list[str]:
        return sorted({run.results.commit or "none" for run in self.row.finished})

    @property
    def started(self) -> int:
        return sum(run.is_started for run in self.row.runs)

    @property
    def unlike_softmax(self) -> list[str]:
        return unlike_reference(self.group, self.row)

    @property
    def minutes(self) -> float | None:
        """Duration of the training, mean over the runs."""
        return mean(run.fit.seconds / 60 for run in self.row.finished)

    @property
    def peak_memory_bytes(self) -> int | None:
        """The highest peak of the runs."""
        return max((run.fit.peak_memory_bytes or 0 for run in self.row.finished), default=0) or None

    @property
    def best_minus_last(self) -> float | None:
        """Points that choosing the best test epoch would have added, mean over the runs."""
        return mean(run.best_minus_last for run in self.row.finished)

    def measured(self, measure: Measure) -> float | None:
        """The mean over the runs."""
        return mean(run.measured(measure) for run in self.row.finished)

    def refitted(self, measure: Measure) -> float | None:
        """The mean over the runs, with the logits' scale refitted.

        None unless every run has a value, since those that have one would be a selection.
        """
        values = [run.refitted(measure) for run in self.row.finished]
        return None if None in values else mean(values)


def find(group: Group) -> list[Finding]:
    """Return the findings of a table's rows."""
    found = []
    for row in group.rows:
        accuracy = summarize(list(row.accuracies.values())) if row.finished else None
        from_paper = against_published(accuracy, row.published) if accuracy and row.published else None
        found.append(Finding(group, row, accuracy, from_paper, *compare_with_softmax(group, row)))
    return found


def compare_with_softmax(group: Group, row: Row) -> tuple[Difference | None, str]:
    """Return the difference, or why there is none."""
    if is_reference(row):
        return None, IS_SOFTMAX
    if not row.finished:
        return None, "no finished run"
    if not row.declared:
        return None, NOT_DECLARED
    reference = group.reference_of(row)
    if reference is None:
        several = sum(is_reference(other) and bool(other.finished) for other in group.rows) > 1
        return None, "no softmax was trained in the same way" if several else "no finished softmax run"
    return difference(row.accuracies, reference.accuracies), ""


def mean(values: Iterable[float | None]) -> float | None:
    """Over those that are known; None if none is."""
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known else None


def warnings_of(group: Group) -> list[str]:
    """Return what makes a table's numbers less comparable than they look."""
    mixed: dict[str, list[str]] = {}
    for row in group.rows:
        for what, of in DIFFERENT.items():
            if len(values := values_of(row, of)) > 1:
                shown = f" ({', '.join(values)})" if what == "commits" else ""
                mixed.setdefault(f"runs of different {what} are averaged{shown}", []).append(row.label)
        if unlike := [what for what in unlike_reference(group, row) if what != TRAINING]:
            mixed.setdefault(f"compared with softmax of different {' and '.join(unlike)}", []).append(row.label)
    warnings = [f"{'; '.join(labels)}: {text}." for text, labels in mixed.items()]
    for row in group.rows:
        if row.repeated:
            names = ", ".join(run.name for run in row.repeated)
            warnings.append(f"{row.label}: runs that repeat a seed are not counted: {names}.")
        if TRAINING in unlike_reference(group, row) and (reference := group.reference_of(row)):
            warnings.append(f"{row.label} was not trained as {reference.label} was: {row.protocol}.")
    return warnings


def unlike_reference(group: Group, row: Row) -> list[str]:
    """Return in what a row differs, besides its head, from the softmax row that it is compared with."""
    reference = None if is_reference(row) or not row.declared or not row.finished else group.reference_of(row)
    if reference is None:
        return []
    differing = [what for what, of in DIFFERENT.items() if set(values_of(row, of)) != set(values_of(reference, of))]
    return [*([TRAINING] if row.protocol != reference.protocol else []), *differing]


def values_of(row: Row, of: Callable[[Run], object]) -> list[str]:
    """What the finished runs of a row have, each value once, as text."""
    return list(dict.fromkeys(str(of(run)) for run in row.runs if run.is_finished))
