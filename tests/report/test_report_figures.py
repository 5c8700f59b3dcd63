"""What the figures show, apart from their looks."""

import numpy as np
import pytest

from sbn_lightning.figures import Distribution, draw_logits, draw_norms, smooth
from sbn_lightning.report.document import Picture
from sbn_lightning.report.picture_files import inline, with_short_numbers


def normal(seed: int, scale: float) -> Distribution:
    edges = np.linspace(-30, 30, 601)
    values = np.random.default_rng(seed).normal(0, scale, 100_000)
    return Distribution(edges, np.histogram(values, edges)[0])


def test_density_has_area_1_also_after_merging_bins_that_do_not_divide() -> None:
    for distribution in (normal(0, 1), normal(0, 1).merged(7)):
        assert (distribution.density * np.diff(distribution.edges)).sum() == pytest.approx(1)


def test_bins_outside_of_the_axis_are_cut_without_changing_densities() -> None:
    whole = normal(0, 1)
    part = whole.within(-1, 1)
    inside = (whole.edges[1:] > -1) & (whole.edges[:-1] < 1)
    np.testing.assert_array_equal(part.density, whole.density[inside])
    assert len(part.edges) == len(part.counts) + 1


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
        Distribution(edges, np.histogram(rng.normal(0, scale, 100_000), edges)[0])
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
    assert Distribution(edges, np.histogram(values, edges)[0]).is_cut
    assert not normal(0, 1).is_cut


def test_figure_3_draws_each_norm_as_trained_above_and_as_used_below() -> None:
    norms = {"a": (np.array([1.0, 2.0]), np.array([3.0, 4.0])), "b": (np.array([5.0, 6.0]), np.array([7.0, 8.0]))}
    upper, lower = draw_norms(norms, ["cat", "dog_with_$a_very_long_name"], "").axes
    assert [bar.get_height() for bar in upper.patches] == [1, 2, 5, 6]
    assert [bar.get_height() for bar in lower.patches] == [3, 4, 7, 8]
    assert [text.get_text() for text in lower.get_xticklabels()] == ["cat", "dog_with_$a_v…"]


def test_running_mean_is_that_of_the_neighbors() -> None:
    points = [(10.0 * step, float(value)) for step, value in enumerate([3, 0, 6, 3, 0])]
    assert smooth(points, 3) == [(0, 1.5), (10, 3), (20, 3), (30, 3), (40, 1.5)]
    assert smooth(points, 1) == points


def test_names_within_a_picture_become_its_own() -> None:
    svg = '<?xml version="1.0"?>\n<svg width="3pt" height="2pt" viewBox="0 0 3 2">\n<path id="p"/>'
    svg += '<use xlink:href="#p" clip-path="url(#p)"/></svg>'
    shown = inline(Picture("name", "caption", svg))
    assert shown.startswith('<svg viewBox="0 0 3 2">')
    assert shown.count("name-p") == 3


def test_only_coordinates_of_curves_are_shortened() -> None:
    svg = '<path d="M 1.23456 -7.000001 L 3 0.5" transform="scale(0.015625)"/>'
    assert with_short_numbers(svg) == '<path d="M 1.23 -7.00 L 3 0.5" transform="scale(0.015625)"/>'
