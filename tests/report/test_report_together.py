"""Critical values for several heads and one control."""

import numpy as np
import pytest
from scipy import stats

from sbn_lightning.report.together import chance, dunnett_critical


@pytest.mark.parametrize(("df", "level"), [(2, 0.95), (4, 0.95), (8, 0.99), (18, 1 - 0.05 / 72)])
def test_a_single_head_has_the_critical_value_of_students_t(df: float, level: float) -> None:
    assert dunnett_critical((3,), 3, df, level) == pytest.approx(stats.t.ppf(0.5 + level / 2, df), rel=1e-3)


def test_dunnetts_published_table_is_met() -> None:
    # Dunnett 1964, two-sided 5 %, equal sizes: rows df, columns number of heads.
    assert dunnett_critical((3, 3, 3), 3, 8, 0.95) == pytest.approx(2.88, abs=0.005)
    assert dunnett_critical((3,) * 7, 3, 16, 0.95) == pytest.approx(2.92, abs=0.005)


@pytest.mark.parametrize("sizes", [(3, 3, 3, 3), (2, 5, 4)])
def test_intervals_are_those_of_scipys_dunnett(sizes: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    samples = [rng.standard_normal(n) for n in sizes]
    *heads, control = samples
    expected = stats.dunnett(*heads, control=control, random_state=0).confidence_interval(0.95)
    df = sum(sizes) - len(sizes)
    std = np.sqrt(sum((n - 1) * one.var(ddof=1) for n, one in zip(sizes, samples, strict=True)) / df)
    critical = dunnett_critical(sizes[:-1], sizes[-1], df, 0.95)
    half = [critical * std * np.sqrt(1 / n + 1 / sizes[-1]) for n in sizes[:-1]]
    assert half == pytest.approx((expected.high - expected.low) / 2, rel=0.005)  # scipy's integral is a random one


def test_chance_grows_with_the_interval_and_falls_with_the_heads() -> None:
    assert chance(2, (3,), 3, 8) < chance(3, (3,), 3, 8)
    assert chance(3, (3, 3), 3, 8) < chance(3, (3,), 3, 8)
