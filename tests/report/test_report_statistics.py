"""Differences and their intervals, against sums by hand and scipy.stats."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sbn_lightning.report.statistics import (
    Difference,
    Sample,
    against_published,
    detectable_effect,
    difference,
    mcnemar,
    paired,
    seeds_prove_correlated,
    summarize,
    welch,
)


def by_seed(accuracies: Sequence[float]) -> dict[int, float]:
    return dict(enumerate(accuracies))


def test_mean_and_sample_std() -> None:
    assert summarize([70, 71, 72]) == Sample(71, 1, 3)
    assert summarize([70]) == Sample(70, None, 1)


def test_difference_to_the_paper_takes_the_pooled_std() -> None:
    found = against_published(Sample(71, 1, 3), Sample(70, 0.5, 3))
    # s² = (2·1 + 2·0.25) / 4, standard error s·√(2/3), 4 degrees of freedom: t = 2.776
    half = 2.7764451 * math.sqrt(0.625) * math.sqrt(2 / 3)
    assert found.value == pytest.approx(1)
    assert found.interval() == pytest.approx((1 - half, 1 + half))
    test = stats.ttest_ind_from_stats(71, 1, 3, 70, 0.5, 3, equal_var=True)
    assert found.interval() == pytest.approx(tuple(test.statistic * half / 2.7764451 + np.array([-half, half])))


def test_few_seeds_are_compared_by_welch() -> None:
    found = difference(by_seed([70, 71, 72]), by_seed([70.1, 71.1, 72.1]))
    # both std 1: standard error √(2/3), 4 degrees of freedom
    half = 2.7764451 * math.sqrt(2 / 3)
    assert found.method == "Welch"
    assert found.interval() == pytest.approx((-0.1 - half, -0.1 + half))


def test_five_correlated_seeds_are_compared_pair_by_pair() -> None:
    ours, theirs = [70.0, 71.0, 72.0, 73.0, 74.0], [69.5, 70.4, 71.6, 72.5, 73.4]
    found = difference(by_seed(ours), by_seed(theirs))
    expected = stats.ttest_rel(ours, theirs).confidence_interval()
    assert found.method == "paired by seed"
    assert found.interval() == pytest.approx((expected.low, expected.high))


def test_four_seeds_other_seeds_or_no_spread_do_not_prove_correlation() -> None:
    five = by_seed([1, 2, 3, 4, 5])
    assert not seeds_prove_correlated(by_seed([1, 2, 3, 4]), by_seed([1, 2.1, 3, 4]))
    assert not seeds_prove_correlated(five, {0: 1, 1: 2.1, 2: 3, 3: 4, 5: 5})
    assert not seeds_prove_correlated(five, by_seed([2, 2, 2, 2, 2]))


def test_correlation_is_proven_exactly_where_scipys_one_sided_test_says_so() -> None:
    rng = np.random.default_rng(0)
    verdicts = set()
    for _ in range(200):
        ours = rng.standard_normal(6)
        theirs = 0.6 * ours + 0.8 * rng.standard_normal(6)
        proven = stats.pearsonr(ours, theirs, alternative="greater").pvalue < 0.05
        assert seeds_prove_correlated(by_seed(ours.tolist()), by_seed(theirs.tolist())) == proven
        verdicts.add(bool(proven))
    assert verdicts == {True, False}


# Samples with a spread: scipy warns of those without.
accuracies = st.lists(st.integers(5000, 9900).map(lambda hundredths: hundredths / 100), min_size=2, max_size=8).filter(
    lambda sample: len(set(sample)) > 1
)


@given(accuracies, accuracies)
def test_welch_interval_holds_0_just_where_scipys_p_exceeds_5_percent(ours: list[float], theirs: list[float]) -> None:
    found = welch(by_seed(ours), by_seed(theirs))
    p = stats.ttest_ind(ours, theirs, equal_var=False).pvalue
    ends = found.interval()
    assert ends is not None
    if abs(p - 0.05) > 1e-6:
        assert (ends[0] <= 0 <= ends[1]) == (p > 0.05)


@pytest.mark.parametrize(("runs", "correlation"), [(3, 0.0), (5, 0.0), (10, 0.0), (5, 0.9), (10, 0.6)])
def test_intervals_cover_the_true_difference_about_95_times_in_100(runs: int, correlation: float) -> None:
    rng = np.random.default_rng(runs)
    trials, covered = 1500, 0
    for _ in range(trials):
        ours = rng.standard_normal(runs)
        theirs = correlation * ours + math.sqrt(1 - correlation**2) * rng.standard_normal(runs)
        lower, upper = difference(by_seed((ours + 1).tolist()), by_seed(theirs.tolist())).interval() or (0, 0)
        covered += lower <= 1 <= upper
    # 95 % and four standard errors of the count; Welch errs on the safe side
    assert 0.927 < covered / trials < 0.985


def test_without_a_spread_there_is_a_difference_but_no_interval() -> None:
    single = difference({0: 71.0}, by_seed([70, 70.5]))
    assert (single.value, single.interval(), single.missing) == (0.75, None, "a single run has no spread")
    assert against_published(Sample(71, None, 1), Sample(70, 0.5, 3)).interval() is None
    assert difference(by_seed([70, 70]), by_seed([69, 69])).missing == "no spread between runs"
    assert against_published(Sample(70, 0, 3), Sample(69, 0, 3)).missing == "no spread between runs"
    assert paired(by_seed([70, 71]), by_seed([69, 70])).missing == "no spread between the seeds' differences"


@pytest.mark.parametrize(
    ("found", "spread"),
    [
        (welch(by_seed([70, 71, 72]), by_seed([60, 61, 62])), 1),
        (paired(by_seed([1, 2, 3, 4, 5]), by_seed([0, 1, 2, 3, 4.5])), np.std([1, 1, 1, 1, 0.5], ddof=1)),
    ],
)
def test_runs_for_one_point_are_the_fewest_that_suffice(found: Difference, spread: float) -> None:
    k, n, needed = len(found.sizes), found.sizes[0], found.runs_for_one_point
    detectable = {m: detectable_effect(k * (m - 1)) * spread * math.sqrt(k / m) for m in range(2, 20)}
    assert found.detectable == pytest.approx(detectable[n])
    assert needed == min(m for m in detectable if detectable[m] <= 1)
    assert k == 1 or needed == 17  # of each group for a standardized effect of 1, the textbook's value


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (0, 5), (7, 7), (12, 3), (60, 90), (400, 480)])
def test_mcnemar_is_the_exact_binomial_test(only_first: int, only_second: int) -> None:
    n = only_first + only_second
    expected = stats.binomtest(only_first, n).pvalue if n else 1.0
    assert mcnemar(only_first, only_second) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("df", [2, 3, 4, 4.7, 8, 18, 58, 998])
def test_detectable_effect_has_80_percent_power(df: int) -> None:
    effect, critical = detectable_effect(df), stats.t.ppf(0.975, df)
    power = stats.nct.sf(critical, df, effect) + stats.nct.cdf(-critical, df, effect)
    assert power == pytest.approx(0.8, abs=2e-6)


def test_detectable_effect_of_one_degree_of_freedom_is_that_of_an_integral_over_the_chi_square_density() -> None:
    assert detectable_effect(1) == pytest.approx(16.3340089, rel=1.5e-6)  # by Simpson's rule; scipy.stats gives NaN
