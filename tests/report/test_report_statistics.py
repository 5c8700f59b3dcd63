"""Differences and their intervals, against sums by hand and scipy.stats."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from sbn_lightning.report.statistics import (
    Sample,
    Spread,
    against_published,
    compare_by_design,
    for_other_images,
    mcnemar,
    shared_spread,
    summarize,
    welch,
    with_spread,
)


def by_seed(accuracies: Sequence[float]) -> dict[int, float]:
    return dict(enumerate(accuracies))


def test_mean_and_sample_std() -> None:
    assert summarize([70, 71, 72]) == Sample(71, 1, 3)
    assert summarize([70]) == Sample(70, None, 1)


def test_fewer_than_five_seeds_are_compared_with_the_spread_of_the_whole_table() -> None:
    spread = shared_spread([summarize(values) for values in ([70, 71, 72], [60, 62, 64], [50.0, 50.5], [1.0])])
    assert spread is not None
    # s² = (2·1 + 2·4 + 1·0.125) / 5
    assert (spread.std**2, spread.df) == pytest.approx(((2 + 8 + 0.125) / 5, 5))
    found = compare_by_design(by_seed([70, 71, 72]), by_seed([60, 62, 64]), spread=spread)
    half = stats.t.ppf(0.975, 5) * spread.std * math.sqrt(2 / 3)
    assert found.method == "one spread for the table"
    assert found.interval() == pytest.approx((9 - half, 9 + half))


def test_two_heads_with_a_spread_of_their_own_are_compared_by_students_t() -> None:
    ours, theirs = [70.1, 71.4, 72.2], [69.1, 71.0, 70.3, 70.0]
    samples = summarize(ours), summarize(theirs)
    spread = shared_spread(samples)
    assert spread is not None
    expected = stats.ttest_ind(ours, theirs, equal_var=True).confidence_interval()
    assert with_spread(*samples, spread).interval() == pytest.approx((expected.low, expected.high))


@pytest.mark.parametrize("correlation", ["high", "none", "negative"])
def test_five_equal_seeds_are_paired_whatever_their_correlation(correlation: str) -> None:
    ours = [70.0, 71.0, 72.0, 73.0, 74.0]
    theirs = {
        "high": [69.5, 70.4, 71.6, 72.5, 73.4],
        "none": [70.4, 73.4, 69.5, 72.5, 71.6],
        "negative": [73.4, 72.5, 71.6, 70.4, 69.5],
    }[correlation]
    found = compare_by_design(by_seed(ours), by_seed(theirs), spread=Spread(1, 100))
    expected = stats.ttest_rel(ours, theirs).confidence_interval()
    assert found.method == "paired by seed"
    assert found.interval() == pytest.approx((expected.low, expected.high))


def test_four_seeds_or_different_ones_are_not_paired() -> None:
    assert compare_by_design(by_seed([1, 2, 3, 4]), by_seed([1, 2.1, 3, 4])).method == "Welch"
    assert compare_by_design(by_seed([1, 2, 3, 4, 5]), {0: 1, 1: 2.1, 2: 3, 3: 4, 5: 5}).method == "Welch"


# Samples with a spread: scipy warns of those without.
accuracies = st.lists(st.integers(5000, 9900).map(lambda hundredths: hundredths / 100), min_size=2, max_size=8).filter(
    lambda sample: len(set(sample)) > 1
)


@given(accuracies, accuracies)
def test_welch_interval_is_scipys(ours: list[float], theirs: list[float]) -> None:
    expected = stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval()
    assert welch(summarize(ours), summarize(theirs)).interval() == pytest.approx((expected.low, expected.high))


def test_paper_is_compared_by_welch_with_the_spread_of_all_its_heads() -> None:
    ours, paper = Sample(71, 1, 3), Sample(70, 0.5, 3)
    test = stats.ttest_ind_from_stats(71, 1, 3, 70, 0.5, 3, equal_var=False)
    alone, pooled = against_published(ours, paper), against_published(ours, paper, Spread(0.3, 16))
    assert alone.value / (alone.standard_error or 0) == pytest.approx(test.statistic)
    # Satterthwaite: (1/3 + 0.09/3)² / ((1/3)²/2 + (0.09/3)²/16)
    assert pooled.standard_error == pytest.approx(math.sqrt(1.09 / 3))
    assert pooled.df == pytest.approx((1.09 / 3) ** 2 / ((1 / 3) ** 2 / 2 + 0.03**2 / 16))


@pytest.mark.parametrize(
    ("sbn", "softmax", "lower", "upper"),  # Table 1 of the paper with the intervals of an independent audit
    [
        (Sample(74.13, 0.24, 3), Sample(71.86, 0.14, 3), 1.78, 2.76),
        (Sample(76.10, 0.12, 3), Sample(75.10, 0.34, 3), 0.25, 1.75),
        (Sample(76.62, 0.17, 3), Sample(75.95, 0.32, 3), 0.01, 1.33),
    ],
)
def test_papers_own_difference_has_an_interval(sbn: Sample, softmax: Sample, lower: float, upper: float) -> None:
    assert against_published(sbn, softmax).interval() == pytest.approx((lower, upper), abs=0.005)


def test_a_single_run_has_a_difference_but_no_interval() -> None:
    for found in (
        compare_by_design({0: 71.0}, by_seed([70, 70.5])),
        compare_by_design({0: 71.0}, by_seed([70, 70.5]), spread=Spread(1, 1)),
    ):
        assert (found.value, found.interval(), found.missing) == (0.75, None, "a single run has no spread")
    assert against_published(Sample(71, None, 1), Sample(70, 0.5, 3)).interval() is None


@pytest.mark.parametrize("n", [3, 5])
def test_runs_that_agree_to_one_image_have_the_spread_of_rounding(n: int) -> None:
    step = 100 / 360
    found = compare_by_design(by_seed([99.0] * n), by_seed([98.5] * n), step)
    # Each mean has the variance step²/12 / n.
    assert found.standard_error == pytest.approx(step * math.sqrt(2 / 12 / n))
    assert compare_by_design(by_seed([1.5] * n), by_seed([1.5] * n)).missing == "no spread between runs"  # not rounded


def test_interval_for_other_images_is_that_of_two_way_sums_of_squares() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = rng.random((8, 50)) < 0.9, rng.random((9, 50)) < 0.6
    seeds = welch(*(summarize((100 * head.mean(1)).tolist()) for head in (ours, theirs)))
    found = for_other_images(seeds, ours, theirs)
    residual = 0.0
    for head in (100.0 * ours, 100.0 * theirs):
        n, images = head.shape
        rest = [
            [head[i, j] - head[i].mean() - head[:, j].mean() + head.mean() for j in range(images)] for i in range(n)
        ]
        residual += np.square(rest).sum() / ((n - 1) * (images - 1)) / n
    images_alone = max(0, (np.var(100.0 * ours.mean(0) - 100.0 * theirs.mean(0), ddof=1) - residual) / 50)
    assert images_alone > 0
    assert (found.standard_error or 0) ** 2 == pytest.approx((seeds.standard_error or 0) ** 2 + images_alone)
    assert found.value == seeds.value


def test_interval_for_other_images_is_never_narrower() -> None:
    rng = np.random.default_rng(1)
    for _ in range(300):
        image = rng.standard_normal(40)
        ours, theirs = (image + 0.3 * rng.standard_normal((3, 40)) > -1 for _ in range(2))
        samples = [summarize((100 * head.mean(1)).tolist(), 100 / 40) for head in (ours, theirs)]
        spread = shared_spread(samples)
        assert spread is not None
        seeds = with_spread(*samples, spread)
        wide, narrow = for_other_images(seeds, ours, theirs).interval(), seeds.interval()
        assert wide is not None
        assert narrow is not None
        assert wide[0] <= narrow[0] <= narrow[1] <= wide[1]


@pytest.mark.parametrize(("only_first", "only_second"), [(0, 0), (1, 0), (0, 5), (7, 7), (12, 3), (60, 90), (400, 480)])
def test_mcnemar_is_the_exact_binomial_test(only_first: int, only_second: int) -> None:
    n = only_first + only_second
    expected = stats.binomtest(only_first, n).pvalue if n else 1.0
    assert mcnemar(only_first, only_second) == pytest.approx(expected, rel=1e-9)
