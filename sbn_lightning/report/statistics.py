"""What a few runs say about a difference: intervals, and the differences that so few runs could have shown.

Accuracies are in percent and their differences in points. Every rule here was fixed before there were results.
"""

import math
import statistics
from bisect import bisect_left
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from scipy.special import bdtr, nctdtrinc, stdtr, stdtrit

LEVEL = 0.95
"""Level of the intervals in a report."""
POWER = 0.8
"""Chance that a difference as large as the detectable one is found by an interval of this level."""
FEWEST_PAIRS = 5
"""Seeds below which no correlation is looked for: three pairs would need r > 0.99 to prove one."""
PAIRED, WELCH = "paired by seed", "Welch"
SINGLE_RUN, NO_SPREAD = "a single run has no spread", "no spread between runs"
ALPHA_OF_CORRELATION = 0.05
"""One-sided level at which the correlation of two heads' accuracies over the seeds counts as proven."""


@dataclass(frozen=True)
class Sample:
    """Mean and sample standard deviation (n − 1) of n accuracies; std is None for a single one."""

    mean: float
    std: float | None
    n: int

    def __str__(self) -> str:
        spread = "" if self.std is None else f" ± {self.std:.2f}"
        return f"{self.mean:.2f}{spread} ({self.n})"


@dataclass(frozen=True)
class Difference:
    """A mean difference in points, and how sure one can be of it."""

    value: float  # first minus second
    method: str  # WELCH, PAIRED, or "pooled std"
    standard_error: float | None = None  # None where there is no interval
    df: float = math.nan  # degrees of freedom of the interval
    missing: str = ""  # why there is no interval
    spread: float | None = None  # standard deviation of one run's accuracy over both, or of one seed's difference
    sizes: Sequence[int] = ()  # number of runs of each, or of pairs

    @property
    def detectable(self) -> float | None:
        """The smallest difference, in points, that as many runs find with 80 % power."""
        return self.spread and smallest_difference(self.spread, self.sizes)

    @property
    def runs_for_one_point(self) -> int | None:
        """The fewest runs of each of the two that find a difference of 1 point with 80 % power."""
        if self.spread is None:
            return None
        spread, k, counts = self.spread, len(self.sizes), range(2, 1_000_000)
        return counts[bisect_left(counts, True, key=lambda n: smallest_difference(spread, [n] * k) <= 1)]

    def interval(self, level: float = LEVEL) -> tuple[float, float] | None:
        """Two-sided, by Student's t."""
        if self.standard_error is None:
            return None
        half = float(stdtrit(self.df, 0.5 + level / 2)) * self.standard_error
        return self.value - half, self.value + half

    def interval_text(self, level: float = LEVEL) -> str:
        """E.g. +0.10 to +1.70, or why there is no interval."""
        ends = self.interval(level)
        return f"{signed(ends[0])} to {signed(ends[1])}" if ends else self.missing

    def __str__(self) -> str:
        """E.g. +0.90 (+0.10 to +1.70)."""
        return f"{signed(self.value)} ({self.interval_text()})"


def signed(points: float) -> str:
    """E.g. +0.90 or −0.90."""
    return f"{points:+.2f}".replace("-", "−")


def summarize(accuracies: Collection[float]) -> Sample:
    std = statistics.stdev(accuracies) if len(accuracies) > 1 else None
    return Sample(statistics.mean(accuracies), std, len(accuracies))


def against_published(ours: Sample, published: Sample) -> Difference:
    """Ours minus a published mean, of which only mean, std and n are known: both are taken to have the same spread.

    s² = ((n₁−1)·s₁² + (n₂−1)·s₂²) / (n₁ + n₂ − 2); standard error s·√(1/n₁ + 1/n₂); n₁ + n₂ − 2 degrees of freedom.
    """
    value, method = ours.mean - published.mean, "pooled std"
    if ours.std is None or published.std is None:
        return Difference(value, method, missing=SINGLE_RUN)
    error = pooled_std(ours, published) * math.sqrt(1 / ours.n + 1 / published.n)
    if error == 0:
        return Difference(value, method, missing=NO_SPREAD)
    return Difference(value, method, error, ours.n + published.n - 2)


def difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference:
    """First minus second, both by seed: paired where the seeds prove correlated, else Welch's with Satterthwaite's
    degrees of freedom."""
    if min(len(first), len(second)) < 2:
        value = statistics.mean(first.values()) - statistics.mean(second.values())
        return Difference(value, WELCH, missing=SINGLE_RUN)
    return paired(first, second) if seeds_prove_correlated(first, second) else welch(first, second)


def pooled_std(a: Sample, b: Sample) -> float:
    """The standard deviation of two samples together, of at least two runs each."""
    squares = sum((sample.n - 1) * (sample.std or 0) ** 2 for sample in (a, b))
    return math.sqrt(squares / (a.n + b.n - 2))


def seeds_prove_correlated(first: Mapping[int, float], second: Mapping[int, float]) -> bool:
    """Whether both have the same seeds, at least `FEWEST_PAIRS`, and a correlation that is significantly above 0."""
    if first.keys() != second.keys() or len(first) < FEWEST_PAIRS:
        return False
    ours, theirs = [first[seed] for seed in first], [second[seed] for seed in first]
    if len(set(ours)) == 1 or len(set(theirs)) == 1:
        return False
    r, df = statistics.correlation(ours, theirs), len(first) - 2
    t = r * math.sqrt(df / max(1 - r * r, 1e-12))
    return float(stdtr(df, -t)) < ALPHA_OF_CORRELATION


def welch(first: Mapping[int, float], second: Mapping[int, float]) -> Difference:
    """Compare two means whose runs are independent of each other and may spread differently."""
    a, b = summarize(first.values()), summarize(second.values())
    value, spread = a.mean - b.mean, pooled_std(a, b)
    if spread == 0:
        return Difference(value, WELCH, missing=NO_SPREAD)
    errors = [(sample.std or 0) ** 2 / sample.n for sample in (a, b)]
    df = sum(errors) ** 2 / (errors[0] ** 2 / (a.n - 1) + errors[1] ** 2 / (b.n - 1))
    return Difference(value, WELCH, math.sqrt(sum(errors)), df, spread=spread, sizes=(a.n, b.n))


def paired(first: Mapping[int, float], second: Mapping[int, float]) -> Difference:
    """Compare two heads with the same seeds by the mean of the seeds' differences."""
    differences = summarize([first[seed] - second[seed] for seed in first])
    if not differences.std:
        return Difference(differences.mean, PAIRED, missing="no spread between the seeds' differences")
    n, std = differences.n, differences.std
    return Difference(differences.mean, PAIRED, std / math.sqrt(n), n - 1, spread=std, sizes=(n,))


def smallest_difference(spread: float, sizes: Sequence[int]) -> float:
    """Return the smallest difference that two samples of such sizes, or one of pairs, find with `POWER`."""
    return detectable_effect(sum(sizes) - len(sizes)) * spread * math.sqrt(sum(1 / n for n in sizes))


def detectable_effect(df: float) -> float:
    """Return the difference, in standard errors, that a two-sided t test with df degrees of freedom finds with `POWER`.

    A difference of d standard errors makes the test statistic T noncentral t: d solves P(T > critical) = POWER. The
    chance of T < −critical, a finding in the wrong direction, is below 1e-6 there, and left out.
    """
    critical = stdtrit(df, 0.5 + LEVEL / 2)
    return float(nctdtrinc(df, 1 - POWER, critical))


def mcnemar(only_first: int, only_second: int) -> float:
    """Return the p-value of McNemar's exact test: two-sided binomial on the images that exactly one network has right.

    It is the chance of a split at least as uneven, if each of these images had gone either way by a fair coin.
    """
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), only_first + only_second, 0.5)))
