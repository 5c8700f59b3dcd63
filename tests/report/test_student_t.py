"""Student's t, against scipy (which comes with scikit-learn) and a printed table."""

import pytest
from scipy import stats

from sbn_lightning.report.student_t import detectable_effect, incomplete_beta, t_cdf, t_quantile


@pytest.mark.parametrize(("df", "printed"), [(1, 12.706), (2, 4.303), (4, 2.776), (10, 2.228), (30, 2.042)])
def test_two_sided_5_percent_points_are_those_of_the_printed_table(df: int, printed: float) -> None:
    assert t_quantile(0.975, df) == pytest.approx(printed, abs=5e-4)


@pytest.mark.parametrize("df", [1, 1.3, 2, 3.97, 9, 58, 1234.5])
def test_quantile_and_cdf_are_scipys(df: float) -> None:
    for probability in (0.025, 0.4, 0.9, 0.975, 0.9995):
        assert t_quantile(probability, df) == pytest.approx(stats.t.ppf(probability, df), rel=1e-9)
    for t in (-30.0, -1.5, 0.0, 0.3, 7.0):
        assert t_cdf(t, df) == pytest.approx(stats.t.cdf(t, df), rel=1e-9)


@pytest.mark.parametrize("df", [2, 3, 4, 8, 18, 58, 998])
def test_detectable_effect_has_80_percent_power_by_scipys_noncentral_t(df: int) -> None:
    effect, critical = detectable_effect(df), stats.t.ppf(0.975, df)
    power = stats.nct.sf(critical, df, effect) + stats.nct.cdf(-critical, df, effect)
    assert power == pytest.approx(0.8, abs=1e-6)


def test_detectable_effect_tends_to_the_normal_approximation() -> None:
    assert detectable_effect(1e6) == pytest.approx(stats.norm.ppf(0.975) + stats.norm.ppf(0.8), abs=1e-4)


def test_incomplete_beta_is_1_and_0_at_its_ends() -> None:
    assert incomplete_beta(0, 2, 3) == 0
    assert incomplete_beta(1, 2, 3) == 1
