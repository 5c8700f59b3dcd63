"""What a study of a few runs can find: the detectable difference, and the runs that a difference of one point takes.

Both are those of the test that is used, and as uncertain as the spread that they are computed from.
"""

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import betaincinv, gammaincinv, nctdtr, nctdtrinc, stdtrit

LEVEL = 0.95
"""Level of the intervals in a report."""
POWER = 0.8
"""Chance that a difference as large as the detectable one is found by an interval of this level."""
FEWEST_PAIRS = 5
"""Seeds from which on two heads with the same seeds are compared pair by pair."""
FEWEST_RUNS = 3
"""Runs of each below which nothing is planned: two runs say almost nothing about a spread."""
MOST_RUNS = 1_000_000
NODES, WEIGHTS = np.polynomial.legendre.leggauss(32)
SHARES, SHARE_WEIGHTS = (NODES + 1) / 2, WEIGHTS / 2
"""A quadrature over the shares (0, 1) of a distribution."""


@dataclass(frozen=True)
class Power:
    """What a study can find with `POWER`, in points."""

    detectable: float  # the smallest such difference, if the true spread is the observed one
    lowest: float  # the same at the lower end of the spread's own 95 % interval
    highest: float
    runs: int  # the fewest of each head that find 1 point, if the true spread is the observed one
    most_runs: int  # the same at an upper bound of the spread, which holds with 80 %

    @property
    def span(self) -> str:
        """E.g. 1.20 (0.81 to 2.30)."""
        return f"{self.detectable:.2f} ({self.lowest:.2f} to {self.highest:.2f})"

    @property
    def runs_text(self) -> str:
        """E.g. 4 to 7 runs."""
        return f"{self.runs:,} runs" if self.runs == self.most_runs else f"{self.runs:,} to {self.most_runs:,} runs"


def power_of_paired(std: float, n: int) -> Power | None:
    """Student's t on the differences of n seeds with this standard deviation."""
    return make_power(paired_detectable(std, n), n - 1, FEWEST_PAIRS, lambda more: paired_detectable(std, more))


def power_of_shared(std: float, df: float, sizes: tuple[int, int]) -> Power | None:
    """Student's t with the spread of a whole table, which has df degrees of freedom.

    A new study of the same heads would have more of them, in proportion to its n − 1.
    """
    if min(sizes) < FEWEST_RUNS:
        return None
    heads = df / (sum(sizes) / 2 - 1)

    def later(n: int) -> float:
        if n >= FEWEST_PAIRS:
            return paired_detectable(math.sqrt(2) * std, n)
        return detectable_effect(heads * (n - 1)) * std * math.sqrt(2 / n)

    now = detectable_effect(df) * std * math.sqrt(1 / sizes[0] + 1 / sizes[1])
    return make_power(now, df, FEWEST_RUNS, later)


def power_of_welch(stds: tuple[float, float], sizes: tuple[int, int], df: float) -> Power | None:
    """Welch's test of two groups with these standard deviations, and Satterthwaite's degrees of freedom: where one
    group's spread decides, n₁ + n₂ − 2 would make its range far too short."""
    if min(sizes) < FEWEST_RUNS:
        return None

    def later(n: int) -> float:
        return paired_detectable(math.hypot(*stds), n) if n >= FEWEST_PAIRS else welch_detectable(stds, (n, n))

    return make_power(welch_detectable(stds, sizes), df, FEWEST_RUNS, later)


def make_power(now: float, df: float, fewest: int, later: Callable[[int], float]) -> Power:
    """Return what a study finds whose spread has df degrees of freedom.

    Args:
        now: The detectable difference, in points.
        fewest: Runs of each that a new study has at least.
        later: The detectable difference of a new study with n runs of each. From `FEWEST_PAIRS` on its seeds are
            paired; where it is not measured, no correlation of the seeds is taken for granted.
    """
    lowest, highest = (now * spread_bound(df, share) for share in (0.5 + LEVEL / 2, 0.5 - LEVEL / 2))
    runs, most = (fewest_runs(later, fewest, bound) for bound in (1.0, spread_bound(df, 1 - POWER)))
    return Power(now, lowest, highest, runs, max(runs, most))


def spread_bound(df: float, share: float) -> float:
    """Return √(df/χ²): what a standard deviation is multiplied by for a bound that the true one exceeds with the
    probability `share`."""
    return math.sqrt(df / (2 * float(gammaincinv(df / 2, share))))


def fewest_runs(detectable: Callable[[int], float], fewest: int, factor: float) -> int:
    """Return the fewest runs with which factor · detectable(runs) is at most one point."""
    few = [n for n in range(fewest, FEWEST_PAIRS) if factor * detectable(n) <= 1]
    counts = range(FEWEST_PAIRS, MOST_RUNS)
    return few[0] if few else counts[bisect_left(counts, True, key=lambda n: factor * detectable(n) <= 1)]


def paired_detectable(std: float, n: int) -> float:
    """Return the detectable mean of n differences with a standard deviation."""
    return detectable_effect(n - 1) * std / math.sqrt(n)


def detectable_effect(df: float) -> float:
    """Return the difference, in standard errors, that a two-sided t test with df degrees of freedom finds with `POWER`.

    A difference of d standard errors makes the test statistic T noncentral t: d solves P(T > critical) = POWER. The
    chance of T < −critical, a finding in the wrong direction, is below 1e-6 there, and left out.
    """
    critical = stdtrit(df, 0.5 + LEVEL / 2)
    return float(nctdtrinc(df, 1 - POWER, critical))


def welch_detectable(stds: Sequence[float], sizes: Sequence[int]) -> float:
    """Return the difference that Welch's test finds with `POWER`, given the true standard deviations.

    With ν = n₁ + n₂ − 2, the first group's share B of all the squares is distributed as Beta((n₁−1)/2, (n₂−1)/2),
    independently of their sum, which is σ² times χ² with ν degrees of freedom. Given B, Welch's degrees of freedom are
    fixed, and its statistic is a multiple of a noncentral t: the power is the mean over B of that one's.
    """
    variances, numbers = np.square(stds), np.array(sizes)
    dfs = numbers - 1
    nu, error = dfs.sum(), math.sqrt((variances / numbers).sum())
    share = betaincinv(dfs[0] / 2, dfs[1] / 2, SHARES)
    errors = np.stack([share, 1 - share], 1) * variances / (dfs * numbers) * nu  # squared, where χ² is at its mean
    df = errors.sum(1) ** 2 / (errors**2 / dfs).sum(1)
    critical = stdtrit(df, 0.5 + LEVEL / 2) * np.sqrt(errors.sum(1)) / error
    low, high = 0.0, 12.0  # in standard errors; two degrees of freedom, the fewest, need 5.7
    for _ in range(30):
        middle = (low + high) / 2
        is_found = SHARE_WEIGHTS @ (1 - nctdtr(nu, middle, critical)) >= POWER
        low, high = (low, middle) if is_found else (middle, high)
    return high * error
