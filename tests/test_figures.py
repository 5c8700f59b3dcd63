"""What the figures show, apart from their looks."""

from pathlib import Path

import numpy as np
import pytest

from sbn_lightning.figures import Histogram, draw_logits, draw_norms, pixels, save_figure, smooth


def normal(seed: int, scale: float) -> Histogram:
    edges = np.linspace(-30, 30, 601)
    values = np.random.default_rng(seed).normal(0, scale, 100_000)
    return Histogram(edges, np.histogram(values, edges)[0])


def test_density_has_area_1_also_after_merging_bins_that_do_not_divide() -> None:
    for distribution in (normal(0, 1), normal(0, 1).merged(7)):
        assert (distribution.density * np.diff(distribution.edges)).sum() == pytest.approx(1)


def test_quantiles_are_right_to_one_bins_width() -> None:
    values = np.random.default_rng(0).normal(0, 1, 4000)
    edges = np.linspace(-6, 6, 121)
    histogram = Histogram(edges, np.histogram(values, edges)[0])
    for q in [0.05, 0.5, 0.95]:
        assert histogram.quantile(q) == pytest.approx(np.quantile(values, q), abs=0.1)


def test_axis_of_figure_2_holds_999_in_1000_of_both() -> None:
    narrow, wide = normal(0, 1), normal(1, 5)
    figure = draw_logits({"a": (narrow, narrow), "b": (wide, wide)}, "")
    for axes in figure.axes:
        lower, upper = axes.get_xlim()
        inside = (wide.edges[:-1] >= lower) & (wide.edges[1:] <= upper)
        assert wide.counts[inside].sum() >= 0.999 * wide.counts.sum()
        assert upper < 20


def test_figure_2_draws_each_density_in_bins_of_its_own() -> None:
    narrow_edges, wide_edges = np.linspace(-2, 2, 301), np.linspace(-40, 40, 201)
    rng = np.random.default_rng(0)
    narrow, wide = (
        Histogram(edges, np.histogram(rng.normal(0, scale, 100_000), edges)[0])
        for edges, scale in ((narrow_edges, 0.3), (wide_edges, 8))
    )
    upper, _ = draw_logits({"a": (narrow, narrow), "b": (wide, wide)}, "").axes
    outlines = [patch.get_data() for patch in upper.patches[1::2]]
    for outline, scale in zip(outlines, (0.3, 8), strict=True):
        assert outline.values.max() == pytest.approx(1 / (scale * np.sqrt(2 * np.pi)), rel=0.1)
        assert (outline.values * np.diff(outline.edges)).sum() == pytest.approx(1, abs=2e-3)


def test_full_end_bins_are_taken_for_a_cut() -> None:
    edges = np.linspace(-30, 30, 601)
    values = np.random.default_rng(0).normal(0, 40, 100_000).clip(-30, 30)
    assert Histogram(edges, np.histogram(values, edges)[0]).is_cut
    assert not normal(0, 1).is_cut


def test_figure_3_draws_each_norm_as_trained_above_and_as_used_below() -> None:
    norms = {
        "a": (np.array([1.0, 2.0, 6.0]), np.array([3.0, 4.0, 5.0])),
        "b": (np.array([5.0, 6.0, 7.0]), np.array([7.0, 8.0, 9.0])),
    }
    upper, lower = draw_norms(norms, ["cat", "dog_with_$a_very_long_name"], "").axes
    assert [bar.get_height() for bar in upper.patches] == [1, 2, 5, 6]
    assert [bar.get_height() for bar in lower.patches] == [3, 4, 7, 8]
    assert [line.get_ydata()[0] for line in upper.lines] == [3, 6]  # the means of all classes, also of the third
    assert [text.get_text() for text in lower.get_xticklabels()] == ["cat", "dog_with_$a_v…"]


def test_running_mean_is_that_of_the_neighbors_thinned_to_four_points_in_each_part() -> None:
    curve = {10.0 * step: float(step % 3 == 0) for step in range(120)}  # in 40 parts of 3 points
    assert list(smooth(curve, 40).values()) == pytest.approx([1 / 2, *[1 / 3] * 118, 0])
    assert list(smooth(dict.fromkeys(range(1600), 1.0), 40)) == list(range(0, 1600, 10))


def test_same_figure_is_the_same_file(tmp_path: Path) -> None:
    one, two = (save_figure(draw_logits({"a": (normal(0, 1), normal(1, 1))}, ""), tmp_path, name) for name in "ab")
    assert one == two == (tmp_path / "a.svg").read_text(encoding="utf-8")
    assert one.startswith("<?xml")
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_many_bars_make_a_wider_picture() -> None:
    def picture(classes: int) -> tuple[int, ...]:
        norms = {"a": (np.ones(classes), np.ones(classes))}
        return pixels(draw_norms(norms, ["name"] * classes, "")).shape

    assert picture(10) == (460, 520, 3)
    assert picture(100) == (460, 4500, 3)
