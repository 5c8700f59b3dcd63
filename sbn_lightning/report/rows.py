"""A report's rows: means over runs, and how they differ from softmax and from the paper."""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sbn_lightning.report.runs import (
    HIGHEST_IF_CALIBRATED,
    IF_CALIBRATED,
    MEASURES,
    NOT_STARTED,
    REFITTED,
    SCORES,
    UNKNOWN,
    Run,
)
from sbn_lightning.report.statistics import Difference, Sample, Spread, against_published, summarize
from sbn_lightning.run.facts import COMPARED_BY

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
        self.images = min((run.test.images for run in self.finished), default=0)  # of the test set
        self.step = 100 / self.images if self.images else 0.0  # accuracies are multiples of it
        self.accuracy = summarize(self.accuracies.values(), self.step) if self.finished else None
        paper = self.plan and self.plan.published_for(first.results)  # None in another training than the paper's
        self.published = Sample(paper.mean, paper.std, paper.runs) if paper else None
        spread = Spread(paper.pooled_std, paper.pooled_df) if paper and paper.pooled_std and paper.pooled_df else None
        self.from_paper: Difference | None = None
        if self.accuracy and self.published:
            self.from_paper = against_published(self.accuracy, self.published, spread)
        elsewhere = ", in another training" if self.plan and self.plan.paper and not self.published else ""
        self.tuned_on = self.plan.tuned_on + elsewhere if self.plan else UNKNOWN
        self.declared = self.plan is None or self.plan.declared  # whether it may be compared with softmax
        self.seconds = mean_of([run.fit.seconds for run in self.finished])
        self.peak_memory_bytes = max((run.fit.peak_memory_bytes or 0 for run in self.finished), default=0) or None
        self.commits = sorted({run.results.commit or "none" for run in self.finished})
        self.not_compared = ""  # why it is not compared with softmax
        self.comparison: Comparison | None = None

    def values_of(self, what: str) -> list[str]:
        """What the finished runs have of `TO_SHARE`, each value once, as text."""
        return list(dict.fromkeys(str(TO_SHARE[what](run)) for run in self.runs if run.is_finished))

    def measured(self, column: str) -> dict[int, float | None]:
        """{seed: value} of a column of runs.csv, of the finished runs."""
        return {run.seed: run.line()[column] for run in self.finished}

    @property
    def is_incomplete(self) -> bool:
        """Whether a run of it is not finished."""
        return len(self.finished) < len(self.runs)

    def sample_of(self, column: str) -> Sample | None:
        """The values of a column of runs.csv, of all runs that have one; None without any."""
        values = [value for run in self.runs if (value := run.line()[column]) is not None]
        return summarize(values) if values else None

    def mean(self, column: str) -> float | None:
        """The mean of a column of runs.csv; None where a run has no value: that of the others would be a selection."""
        return mean_of(list(self.measured(column).values()))

    def line(self) -> dict[str, Any]:
        """Its line in report.csv, without the columns of its table."""
        accuracy, published, found = self.accuracy, self.published, self.comparison
        power = found.accuracy.power if found else None
        scores = found.scores if found else {}
        return {
            "head": self.head.name,
            "label": self.label,
            **{name: self.head.settings.get(name) for name in COMPARED_BY},
            "tuned_on": self.tuned_on,
            "declared": self.declared,
            "runs_finished": len(self.finished),
            "runs_started": self.started,
            "runs_planned": len(self.runs),
            "test_images": self.images or None,
            "accuracy_mean": accuracy and accuracy.mean,
            "accuracy_std": accuracy and accuracy.std,
            "paper_mean": published and published.mean,
            "paper_std": published and published.std,
            "paper_runs": published and published.n,
            **columns_of("from_paper", self.from_paper),
            **columns_of("from_softmax", found.accuracy if found else None),
            **columns_of("from_softmax_welch", found.check if found else None),
            **columns_of("from_softmax_other_images", found.images if found else None),
            **ends_of("from_softmax_all_together", found.together if found else None),
            **columns_of("from_softmax_in_the_paper", found.paper if found else None),
            "unlike_softmax_in": ", ".join(found.unlike) if found else "",
            "not_compared": self.not_compared,
            "detectable": power and power.detectable,
            "detectable_lowest": power and power.lowest,
            "detectable_highest": power and power.highest,
            "runs_for_one_point": power and power.runs,
            "most_runs_for_one_point": power and power.most_runs,
            **{measure.name: self.mean(measure.name) for measure in MEASURES},
            **{f"{measure.name}_refitted": self.mean(f"{measure.name}_refitted") for measure in REFITTED},
            **{name: self.mean(name) for name in (IF_CALIBRATED, HIGHEST_IF_CALIBRATED)},
            **{
                name: value
                for one in SCORES
                for name, value in columns_of(f"{one.name}_from_softmax", scores.get(one.name)).items()
            },
            "minutes": self.seconds and self.seconds / 60,
            "peak_memory_bytes": self.peak_memory_bytes,
            "commits": " ".join(self.commits),
            "trained_with": self.protocol,
        }


@dataclass
class Comparison:
    """A row beside the softmax row that it is compared with. Differences are the row's values minus softmax's."""

    softmax: Row
    unlike: list[str]  # in what the two differ besides the head
    accuracy: Difference  # over seeds, in points
    check: Difference  # the same by Welch's test
    images: Difference  # the same accuracy, with an interval that is also for other images
    scores: dict[str, Difference]  # of `SCORES`, by name, where all runs have them
    paper: Difference | None  # what the paper found for the same two heads
    together: tuple[float, float] | None = None  # the interval that holds for all comparisons of a report together


def mean_of(values: Sequence[float | None]) -> float | None:
    """The mean; None without values, or where one of them is missing."""
    known = [value for value in values if value is not None]
    return statistics.mean(known) if known and len(known) == len(values) else None


def columns_of(name: str, found: Difference | None) -> dict[str, Any]:
    """A difference, its 95 % interval, and what that was made of, for report.csv."""
    has_interval = found is not None and found.standard_error is not None
    return {
        name: found.value if found else None,
        **ends_of(name, found.interval() if found else None),
        f"{name}_standard_error": found.standard_error if found else None,
        f"{name}_df": found.df if found and has_interval else None,
        f"{name}_method": found.method if found and has_interval else None,
    }


def ends_of(name: str, ends: tuple[float, float] | None) -> dict[str, float | None]:
    lower, upper = ends or (None, None)
    return {f"{name}_lower": lower, f"{name}_upper": upper}
