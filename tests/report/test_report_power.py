"""What a study can find, against the textbook, an independent audit and simulations of the test itself."""

import math

import numpy as np
import pytest
from scipy import stats

from sbn_lightning.report.power import (
    detectable_effect,
    power_of_paired,
    power_of_shared,
    power_of_welch,
    spread_bound,
    welch_detectable,
)
from sbn_lightning.report.statistics import summarize, welch


@pytest.mark.parametrize("df", [2, 3, 4, 4.7, 8, 18, 58, 998])
def test_detectable_effect_has_80_percent_power(df: float) -> None:
    effect, critical = detectable_effect(df), stats.t.ppf(0.975, df)
    power = stats.nct.sf(critical, df, effect) + stats.nct.cdf(-critical, df, effect)
    assert power == pytest.approx(0.8, abs=2e-6)


@pytest.mark.parametrize(
    ("runs", "multiple"),
    [(3, 3.50), (4, 2.51), (5, 2.09), (6, 1.83), (10, 1.33)],  # of the standard deviation, by simulation in the audit
)
def test_welchs_detectable_difference_is_what_the_audit_simulated(runs: int, multiple: float) -> None:
    assert welch_detectable((1, 1), (runs, runs)) == pytest.approx(multiple, abs=0.01)


@pytest.mark.parametrize(
    ("stds", "sizes"), [((1, 1), (3, 3)), ((3, 1), (3, 3)), ((1, 2), (5, 3)), ((0.5, 1), (10, 10))]
)
def test_welchs_test_finds_the_detectable_difference_in_80_percent_of_studies(
    stds: tuple[float, float], sizes: tuple[int, int]
) -> None:
    rng, truth = np.random.default_rng(0), welch_detectable(stds, sizes)
    ours, theirs = (std * rng.standard_normal((40_000, n)) for std, n in zip(stds, sizes, strict=True))
    p = stats.ttest_ind(ours + truth, theirs, axis=1, equal_var=False).pvalue
    assert (p < 0.05).mean() == pytest.approx(0.8, abs=0.008)  # four standard errors


def test_range_of_the_detectable_difference_is_that_of_the_spread() -> None:
    found = power_of_welch((1, 1), (3, 3), 4)
    assert found is not None
    assert (found.lowest / found.detectable, found.highest / found.detectable) == pytest.approx((0.6, 2.87), abs=0.005)
    # The bound of χ² holds as often as it says.
    variances = np.random.default_rng(0).chisquare(4, 100_000) / 4
    assert (np.sqrt(variances) * spread_bound(4, 0.2) > 1).mean() == pytest.approx(0.8, abs=0.005)


def test_range_of_welchs_detectable_difference_has_the_degrees_of_freedom_of_its_interval() -> None:
    # One head decides the spread: with 4 + 4 degrees of freedom the range would contain the truth in 85 of 100 studies.
    rng, stds, truth, covered, studies = np.random.default_rng(0), (3, 1), welch_detectable((3, 1), (5, 5)), 0, 300
    for _ in range(studies):
        found = welch(*(summarize((std * rng.standard_normal(5)).tolist()) for std in stds)).power
        assert found is not None
        covered += found.lowest <= truth <= found.highest
    assert covered / studies > 0.89


def test_runs_for_one_point_are_the_fewest_of_the_test_that_would_be_used() -> None:
    found = power_of_shared(0.44, 8, (3, 3))  # four heads with three runs each
    assert found is not None
    assert found.detectable == pytest.approx(detectable_effect(8) * 0.44 * math.sqrt(2 / 3))
    by_runs = {n: detectable_effect(4 * (n - 1)) * 0.44 * math.sqrt(2 / n) for n in (3, 4)}
    by_runs |= {n: detectable_effect(n - 1) * 0.44 * math.sqrt(2 / n) for n in range(5, 20)}  # paired, uncorrelated
    assert found.runs == min(n for n in by_runs if by_runs[n] <= 1)
    bound = math.sqrt(8 / stats.chi2.ppf(0.2, 8))
    assert found.most_runs == min(n for n in by_runs if bound * by_runs[n] <= 1)
    paired = power_of_paired(1.0, 10)
    assert paired.runs == min(n for n in range(5, 50) if detectable_effect(n - 1) / math.sqrt(n) <= 1)


def test_nothing_is_planned_with_fewer_than_three_runs_and_never_fewer_than_three() -> None:
    assert power_of_shared(0.1, 2, (2, 2)) is None
    assert power_of_welch((0.1, 0.1), (2, 3), 3) is None
    found = power_of_shared(0.001, 4, (3, 3))
    assert found is not None
    assert (found.runs, found.most_runs, found.runs_text) == (3, 3, "3 runs")
