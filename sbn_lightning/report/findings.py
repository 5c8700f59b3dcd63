"""What the runs of a row measured, and what they say about its difference from softmax and from the paper."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from sbn_lightning.report.records import Outcome, Run
from sbn_lightning.report.rows import Group, Row, is_reference
from sbn_lightning.report.statistics import Difference, Sample, against_published, difference, summarize

DIFFERENT: dict[str, Callable[[Run], object]] = {
    "commits": lambda run: run.facts.get("commit"),
    "package versions": lambda run: sorted((run.facts.get("versions") or {}).items()),
    "hardware": lambda run: [(run.facts.get("hardware") or {}).get(key) for key in ("device", "name")],
}
"""What the runs of a row, and of the softmax row that it is set against, should have in common."""
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
        flattered: Points that choosing the best test epoch would have added, on average.
    """

    group: Group
    row: Row
    accuracy: Sample | None
    from_paper: Difference | None
    from_softmax: Difference | None
    not_compared: str
    ece: float | None
    refitted_ece: float | None
    nll: float | None
    refitted_nll: float | None
    flattered: float | None
    minutes: float | None
    peak_memory_bytes: float | None

    @property
    def commits(self) -> list[str]:
        return sorted({str(run.facts.get("commit") or "none") for run in self.row.runs if run.outcome})

    @property
    def unlike_softmax(self) -> list[str]:
        return unlike_reference(self.group, self.row)

    @property
    def started(self) -> int:
        return sum(run.started for run in self.row.runs)


def find(group: Group) -> list[Finding]:
    """The findings of a table's rows."""
    return [finding(group, row) for row in group.rows]


def finding(group: Group, row: Row) -> Finding:
    """The numbers of one row."""
    outcomes = [outcome for _, outcome in row.finished]
    accuracy = summarize([outcome.accuracy for outcome in outcomes]) if outcomes else None
    compared, reason = compare_with_softmax(group, row)
    seconds = mean_of(outcomes, lambda outcome: outcome.seconds)
    memory = [outcome.peak_memory_bytes for outcome in outcomes if outcome.peak_memory_bytes is not None]
    return Finding(
        group=group,
        row=row,
        accuracy=accuracy,
        from_paper=against_published(accuracy, row.published) if accuracy and row.published else None,
        from_softmax=compared,
        not_compared=reason,
        ece=mean_of(outcomes, lambda outcome: outcome.ece),
        refitted_ece=mean_of_all(outcomes, lambda outcome: outcome.refitted_ece),
        nll=mean_of(outcomes, lambda outcome: outcome.nll),
        refitted_nll=mean_of_all(outcomes, lambda outcome: outcome.refitted_nll),
        flattered=mean_of(outcomes, lambda outcome: outcome.flattered),
        minutes=seconds / 60 if seconds is not None else None,
        peak_memory_bytes=max(memory, default=None),
    )


def compare_with_softmax(group: Group, row: Row) -> tuple[Difference | None, str]:
    """The difference, or why there is none."""
    if is_reference(row):
        return None, IS_SOFTMAX
    if not row.finished:
        return None, "no finished run"
    if not row.declared:
        return None, NOT_DECLARED
    reference = group.reference_of(row)
    if reference is None:
        several = sum(is_reference(other) and bool(other.finished) for other in group.rows) > 1
        return None, "no softmax was trained alike" if several else "no finished softmax run"
    return difference(row.accuracies, reference.accuracies), ""


def mean_of(outcomes: Iterable[Outcome], value: Callable[[Outcome], float | None]) -> float | None:
    """Over the runs whose record says; None if none does."""
    values = [known for outcome in outcomes if (known := value(outcome)) is not None]
    return statistics.mean(values) if values else None


def mean_of_all(outcomes: Sequence[Outcome], value: Callable[[Outcome], float | None]) -> float | None:
    """Over the runs; None unless every record says, since those that do would be a selection."""
    return None if any(value(outcome) is None for outcome in outcomes) else mean_of(outcomes, value)


def warnings_of(group: Group) -> list[str]:
    """What makes a table's numbers less comparable than they look."""
    warnings = []
    mixed: dict[str, list[str]] = {}
    for row in group.rows:
        for what, of in DIFFERENT.items():
            if len(values := measured(row, of)) > 1:
                shown = f" ({', '.join(values)})" if what == "commits" else ""
                mixed.setdefault(f"runs of different {what} are averaged{shown}", []).append(row.label)
        if unlike := [what for what in unlike_reference(group, row) if what != TRAINING]:
            mixed.setdefault(f"set against softmax of different {' and '.join(unlike)}", []).append(row.label)
    warnings += [f"{'; '.join(labels)}: {text}." for text, labels in mixed.items()]
    for row in group.rows:
        if row.repeated:
            names = ", ".join(run.name for run in row.repeated)
            warnings.append(f"{row.label}: a seed that is there already is no further run, not counted: {names}.")
        if TRAINING in unlike_reference(group, row) and (reference := group.reference_of(row)):
            warnings.append(f"{row.label} was not trained as {reference.label} was: {row.protocol}.")
    return warnings


def unlike_reference(group: Group, row: Row) -> list[str]:
    """In what a row differs, besides its head, from the softmax row that it is set against."""
    reference = None if is_reference(row) or not row.declared or not row.finished else group.reference_of(row)
    if reference is None:
        return []
    differing = [what for what, of in DIFFERENT.items() if set(measured(row, of)) != set(measured(reference, of))]
    return [*([TRAINING] if row.protocol != reference.protocol else []), *differing]


def measured(row: Row, of: Callable[[Run], object]) -> list[str]:
    """What the finished runs of a row have, each value once, as text."""
    return list(dict.fromkeys(str(of(run)) for run in row.runs if run.outcome))
