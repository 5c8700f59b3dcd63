"""Differences between two groups of runs, and intervals that say how sure one can be of them.

Accuracies are in percent and their differences in points. Which method compares two groups is decided by their design,
never by their results: see `compare_by_design`.
"""

import math
import statistics
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, stdtrit

from sbn_lightning.report.power import FEWEST_PAIRS, LEVEL, Power, power_of_paired, power_of_shared, power_of_welch

PAIRED, SHARED, WELCH, CROSSED = "paired by seed", "one spread for the table", "Welch", "seeds and images"
SINGLE_RUN, NO_SPREAD = "a single run has no spread", "no spread between runs"


@dataclass(frozen=True)
class Spread:
    """An estimate of the standard deviation of a single run's value, and its degrees of freedom."""

    std: float
    df: float


@dataclass(frozen=True)
class Sample:
    """Mean and sample standard deviation (n − 1) of n values; std is None for a single one."""

    mean: float
    std: float | None
    n: int
    step: float = 0.0  # the values are multiples of it, e.g. 100 / images for an accuracy in percent

    @property
    def spread(self) -> Spread:
        """The spread for intervals, at least that of rounding to multiples of the step: their variance is step² / 12.

        Without this floor, runs that happen to agree to one image would claim a spread of 0.
        """
        return Spread(max(self.std or 0, self.step / math.sqrt(12)), self.n - 1)

    def __str__(self) -> str:
        spread = "" if self.std is None else f" ± {self.std:.2f}"
        return f"{self.mean:.2f}{spread} ({self.n})"


@dataclass(frozen=True)
class Difference:
    """A mean difference, and how sure one can be of it."""

    value: float  # first minus second
    method: str
    standard_error: float | None = None  # None where there is no interval
    df: float = math.nan  # degrees of freedom of the interval
    missing: str = ""  # why there is no interval
    plan: Callable[[], Power | None] = lambda: None  # what such runs can find; None where nothing is planned

    @cached_property
    def power(self) -> Power | None:
        """What as many runs with this spread can find."""
        return self.plan()

    @property
    def contains_zero(self) -> bool:
        """Whether the interval contains 0."""
        ends = self.interval()
        return ends is not None and ends[0] <= 0 <= ends[1]

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """Two-sided, by Student's t."""
        return None if self.standard_error is None else self.within(float(stdtrit(self.df, 0.5 + level / 2)))

    def within(self, critical: float) -> tuple[float, float] | None:
        """The interval that reaches `critical` standard errors to both sides."""
        if self.standard_error is None:
            return None
        return self.value - critical * self.standard_error, self.value + critical * self.standard_error

    def interval_text(self, digits: int = 2) -> str:
        """E.g. +0.10 to +1.70, or why there is no interval."""
        ends = self.interval()
        return ends_text(ends, digits) if ends else self.missing

    def text(self, digits: int = 2) -> str:
        """E.g. +0.90 (+0.10 to +1.70)."""
        return f"{signed(self.value, digits)} ({self.interval_text(digits)})"

    def __str__(self) -> str:
        return self.text()


def signed(value: float, digits: int = 2) -> str:
    """E.g. +0.90 or −0.90."""
    return f"{value:+.{digits}f}".replace("-", "−")


def ends_text(ends: tuple[float, float], digits: int = 2) -> str:
    """E.g. +0.10 to +1.70."""
    return " to ".join(signed(end, digits) for end in ends)


def summarize(values: Collection[float], step: float = 0.0) -> Sample:
    std = statistics.stdev(values) if len(values) > 1 else None
    return Sample(statistics.mean(values), std, len(values), step)


def compare_by_design(
    first: Mapping[int, float], second: Mapping[int, float], step: float = 0.0, spread: Spread | None = None
) -> Difference:
    """First minus second, both by seed.

    They are paired if both have the same seeds, and at least `FEWEST_PAIRS` of them. Otherwise they are independent:
    with the given spread of a single run, or by Welch's test without one.
    """
    if first.keys() == second.keys() and len(first) >= FEWEST_PAIRS:
        return paired(first, second, step)
    a, b = summarize(first.values(), step), summarize(second.values(), step)
    return with_spread(a, b, spread) if spread else welch(a, b)


def paired(first: Mapping[int, float], second: Mapping[int, float], step: float = 0.0) -> Difference:
    """Compare two heads with the same seeds by the mean of the seeds' differences: Student's t with n − 1 degrees of
    freedom. A difference of two rounded values has twice the variance of rounding."""
    differences = summarize([first[seed] - second[seed] for seed in first], step * math.sqrt(2))
    n, std = differences.n, differences.spread.std
    if std == 0:
        return Difference(differences.mean, PAIRED, missing=NO_SPREAD)
    return Difference(differences.mean, PAIRED, std / math.sqrt(n), n - 1, plan=partial(power_of_paired, std, n))


def shared_spread(samples: Sequence[Sample]) -> Spread | None:
    """The one spread that all heads of a table are taken to have: s² = Σ (nᵢ − 1)·sᵢ² / Σ (nᵢ − 1); None if every
    head has a single run."""
    spreads = [sample.spread for sample in samples if sample.n > 1]
    df = sum(spread.df for spread in spreads)
    return Spread(math.sqrt(sum(spread.df * spread.std**2 for spread in spreads) / df), df) if df else None


def with_spread(a: Sample, b: Sample, spread: Spread) -> Difference:
    """Compare two means of independent runs that have the given spread: standard error s·√(1/n₁ + 1/n₂)."""
    value = a.mean - b.mean
    if min(a.n, b.n) < 2:
        return Difference(value, SHARED, missing=SINGLE_RUN)
    if spread.std == 0:
        return Difference(value, SHARED, missing=NO_SPREAD)
    error = spread.std * math.sqrt(1 / a.n + 1 / b.n)
    plan = partial(power_of_shared, spread.std, spread.df, (a.n, b.n))
    return Difference(value, SHARED, error, spread.df, plan=plan)


def welch(a: Sample, b: Sample) -> Difference:
    """Compare two means whose runs are independent of each other and may spread differently.

    Welch's test: standard error √(s₁²/n₁ + s₂²/n₂), Satterthwaite's degrees of freedom.
    """
    found = unequal(a.mean - b.mean, (a.spread, b.spread), (a.n, b.n))
    plan = partial(power_of_welch, (a.spread.std, b.spread.std), (a.n, b.n), found.df)
    return found if found.standard_error is None else replace(found, plan=plan)


def unequal(value: float, spreads: Sequence[Spread], sizes: Sequence[int]) -> Difference:
    """A difference of means of n₁ and n₂ independent runs, each with an estimated spread of its own."""
    if min(spread.df for spread in spreads) < 1:
        return Difference(value, WELCH, missing=SINGLE_RUN)
    errors = [spread.std**2 / n for spread, n in zip(spreads, sizes, strict=True)]
    if sum(errors) == 0:
        return Difference(value, WELCH, missing=NO_SPREAD)
    df = sum(errors) ** 2 / sum(error**2 / spread.df for error, spread in zip(errors, spreads, strict=True))
    return Difference(value, WELCH, math.sqrt(sum(errors)), df)


def against_published(ours: Sample, published: Sample, spread: Spread | None = None) -> Difference:
    """Ours minus a published mean, by Welch's test.

    Args:
        spread: Of a published run, pooled over the heads that were published together; default: the sample's own.
    """
    return unequal(ours.mean - published.mean, (ours.spread, spread or published.spread), (ours.n, published.n))


def for_other_images(found: Difference, first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Difference:
    """Return a difference over seeds with an interval that also holds for other test images of the same kind.

    Seeds and images are crossed: every network classifies the same N images. The images add to the variance

        max(0, v/N − Σₕ iₕ²/(nₕ·N)),

    where v is the variance over the images of the difference of the two heads' mean correctness, and iₕ² the residual
    variance of seed and image of a head with nₕ runs (of the difference, where seeds are paired). The degrees of
    freedom are Satterthwaite's. The interval is never narrower than the one over seeds alone.

    Args:
        found: The difference over seeds, in points.
        first: (n₁, N) whether each network of the first head has each image right.
        second: (n₂, N) the same of the second head; in the order of the first one's seeds where they are paired.
    """
    if found.standard_error is None or first.shape[1] < 2:
        return Difference(found.value, CROSSED, missing=found.missing or "a single image")
    a, b = 100.0 * first, 100.0 * second
    images = a.shape[1]
    heads = [a - b] if found.method == PAIRED else [a, b]
    residual = sum(interaction(head) / len(head) for head in heads)
    of_images = max(0.0, float((a.mean(0) - b.mean(0)).var(ddof=1) - residual) / images)
    of_seeds = found.standard_error**2
    total = of_seeds + of_images
    df = total**2 / (of_seeds**2 / found.df + of_images**2 / (images - 1))
    wider = Difference(found.value, CROSSED, math.sqrt(total), df)
    upper, upper_of_seeds = ((one.interval() or (0, 0))[1] for one in (wider, found))
    return wider if upper >= upper_of_seeds else Difference(found.value, CROSSED, found.standard_error, found.df)


def interaction(values: NDArray[Any]) -> float:
    """Return the mean square of what remains of values (n, N) without the means of rows and columns."""
    n, columns = values.shape
    residual = values - values.mean(0) - values.mean(1, keepdims=True) + values.mean()
    return float((residual**2).sum() / ((n - 1) * (columns - 1)))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the p-value of McNemar's exact test: two-sided binomial on the images that exactly one network has right.

    It is the chance of a split at least as uneven, if each of these images had gone either way by a fair coin.
    """
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))
