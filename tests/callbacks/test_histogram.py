import numpy as np
import pytest
import torch
from lightning.pytorch.strategies import SingleDeviceStrategy

from sbn_lightning.callbacks.logit_histogram import HistogramCounter


def count(values, lower=-1.0, upper=1.0, bins=8):
    counter = HistogramCounter(lower, upper, bins)
    counter.add(values)
    return counter.total(SingleDeviceStrategy())


def test_counts_are_numpys():
    values = torch.randn(1000, generator=torch.Generator().manual_seed(0)).clamp(-0.99, 0.99)
    expected, edges = np.histogram(values.numpy(), bins=8, range=(-1, 1))
    histogram = count(values)
    np.testing.assert_array_equal(histogram.counts, expected)
    np.testing.assert_array_equal(histogram.edges, edges)


def test_a_bin_holds_its_left_edge_and_not_its_right_one():
    assert count(torch.tensor([-1.0, -0.75, 0.0, 0.75])).counts.tolist() == [1, 1, 0, 0, 1, 0, 0, 1]


def test_end_bins_take_what_lies_beyond_and_the_last_one_nan():
    values = torch.tensor([-torch.inf, -1e30, -1.1, 1.0, 1.1, 1e30, torch.inf, torch.nan])
    assert count(values).counts.tolist() == [3, 0, 0, 0, 0, 0, 0, 5]


def test_mean_and_std_are_those_of_the_values_and_not_of_the_bins():
    values = torch.randn(4000, generator=torch.Generator().manual_seed(0)) * 5 + 2  # mostly outside [-1, 1]
    histogram = count(values)
    assert histogram.mean == pytest.approx(values.mean().item(), rel=1e-5)
    assert histogram.std == pytest.approx(values.std(correction=0).item(), rel=1e-5)


def test_quantiles_are_right_to_one_bins_width():
    values = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    histogram = count(values, -6, 6, bins=120)
    for q in [0.05, 0.5, 0.95]:
        assert histogram.quantile(q) == pytest.approx(values.quantile(q).item(), abs=0.1)


def test_density_has_area_one():
    histogram = count(torch.rand(100), -2, 3, bins=7)
    assert (histogram.density * np.diff(histogram.edges)).sum() == pytest.approx(1)


def test_counting_works_in_half_precision_and_with_deterministic_algorithms():
    values = torch.tensor([[-0.5, 0.5], [0.5, 0.5]], dtype=torch.bfloat16)
    torch.use_deterministic_algorithms(True)
    try:
        assert count(values).counts.tolist() == [0, 0, 1, 0, 0, 0, 3, 0]
    finally:
        torch.use_deterministic_algorithms(False)
