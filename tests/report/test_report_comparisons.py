"""How the heads of a table are compared with softmax, and what holds for all of them together."""

import math

import numpy as np
import pytest
from made_up_runs import AM_SOFTMAX, SBN, SOFTMAX, write_run
from scipy import stats

from sbn_lightning.report.groups import group_runs
from sbn_lightning.report.rows import Comparison
from sbn_lightning.report.runs import read_runs

SOFTMAX_ACCURACIES = [70.0, 70.5, 71.2, 69.8, 70.1]
SBN_ACCURACIES = [70.9, 71.0, 72.4, 70.2, 70.6]
AM_ACCURACIES = [72.0, 71.0, 71.5]


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Comparison]:
    """Softmax and SBN with five seeds, AM-Softmax with three of them: {head: comparison with softmax}."""
    root = tmp_path_factory.mktemp("runs")
    for head, accuracies in ((SOFTMAX, SOFTMAX_ACCURACIES), (SBN, SBN_ACCURACIES), (AM_SOFTMAX, AM_ACCURACIES)):
        for seed, accuracy in enumerate(accuracies):
            write_run(root / f"{head.name}{seed}", accuracy, head, seed)
    (group,) = group_runs(read_runs(root))
    return {row.head.title: row.comparison for row in group.rows if row.comparison}


def test_each_head_is_compared_by_its_design(compared: dict[str, Comparison]) -> None:
    paired = stats.ttest_rel(SBN_ACCURACIES, SOFTMAX_ACCURACIES).confidence_interval()
    assert compared["SBN"].accuracy.interval() == pytest.approx((paired.low, paired.high))
    squares = sum(len(one) * np.var(one) for one in (SOFTMAX_ACCURACIES, SBN_ACCURACIES, AM_ACCURACIES))
    found = compared["AM-Softmax"].accuracy
    assert (found.df, found.standard_error) == (10, pytest.approx(math.sqrt(squares / 10 * (1 / 5 + 1 / 3))))


def test_welch_checks_the_shared_spread(compared: dict[str, Comparison]) -> None:
    expected = stats.ttest_ind(AM_ACCURACIES, SOFTMAX_ACCURACIES, equal_var=False).confidence_interval()
    assert compared["AM-Softmax"].check.interval() == pytest.approx((expected.low, expected.high))


def test_each_of_two_comparisons_has_half_of_the_chance_to_miss(compared: dict[str, Comparison]) -> None:
    for name in ("SBN", "AM-Softmax"):
        found = compared[name]
        critical = stats.t.ppf(1 - 0.025 / 2, found.accuracy.df)
        assert found.together == pytest.approx(found.accuracy.within(critical), abs=1e-3)


def test_seeds_of_a_pair_are_paired_for_other_images_too(compared: dict[str, Comparison]) -> None:
    found = compared["SBN"]
    assert found.images.value == found.accuracy.value
    assert (found.images.standard_error or 0) >= (found.accuracy.standard_error or 0)
