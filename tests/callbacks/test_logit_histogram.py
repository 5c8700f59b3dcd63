import numpy as np
import pytest
import torch

from sbn_lightning.callbacks import LogitHistogram
from sbn_lightning.callbacks.logit_histogram import bin_counts
from sbn_lightning.figures import Histogram


def test_each_epochs_logits_are_counted_and_not_the_sanity_checks(fit, recorder):
    events = fit(LogitHistogram(-1, 1, 10), recorder, num_sanity_val_steps=2)
    assert len(recorder.val) == 2
    assert [event.step for event in events.Scalars("val/loss")] == [3, 7]  # Lightning's: 4 steps an epoch, from 0
    for points in [events.Scalars("logits/mean"), events.Histograms("logits/all"), events.Images("figure2/logits")]:
        assert [event.step for event in points] == [3, 7]
    for i, outputs in enumerate(recorder.val.values()):
        logits, labels = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        assert events.Scalars("logits/mean")[i].value == pytest.approx(logits.mean().item(), rel=1e-5)
        assert events.Scalars("logits/std")[i].value == pytest.approx(logits.std(correction=0).item(), rel=1e-5)
        for tag, values in {"all": logits.flatten(), "true_class": logits[range(len(labels)), labels]}.items():
            histogram = events.Histograms(f"logits/{tag}")[i].histogram_value
            assert (values.abs() > 1).any()  # the end bins take these
            counts, edges = np.histogram(values.clamp(-0.99, 0.99).numpy(), bins=10, range=(-1, 1))
            assert histogram.bucket == counts.tolist()
            assert histogram.bucket_limit == pytest.approx(edges[1:])
            filled = np.flatnonzero(counts)
            assert (histogram.min, histogram.max) == pytest.approx((edges[filled[0]], edges[filled[-1] + 1]))
            assert histogram.num == len(values)
            assert histogram.sum == pytest.approx(values.sum().item(), rel=1e-5)
            assert histogram.sum_squares == pytest.approx(values.square().sum().item(), rel=1e-5)
            p05, p50, p95 = (events.Scalars(f"logits/{tag}_p{q}")[i].value for q in ("05", "50", "95"))
            assert -1 <= p05 <= p50 <= p95 <= 1
            assert p50 == pytest.approx(values.clamp(-1, 1).median().item(), abs=0.2)


def test_diverged_logits_are_shown_and_do_not_end_the_run(fit, classifier):
    torch.nn.init.constant_(classifier.head.linear.bias, torch.nan)
    events = fit(LogitHistogram(), model=classifier, max_epochs=1)
    assert events.Histograms("logits/all")[0].histogram_value.bucket[-1] == (8 + 8 + 5) * 3
    assert np.isnan(events.Scalars("logits/mean")[0].value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lower": 1.0, "upper": 1.0}, "lower 1.0 and upper 1.0 must be finite, and lower below upper"),
        ({"upper": float("inf")}, "upper inf must be finite"),
        ({"bins": 0}, "bins 0 must be at least 1"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        LogitHistogram(**settings)


def count(values, lower=-1.0, upper=1.0, bins=8):
    return Histogram(np.linspace(lower, upper, bins + 1), bin_counts(values, lower, upper, bins).numpy())


def test_a_bin_holds_its_left_edge_and_the_end_bins_what_lies_beyond():
    assert count(torch.tensor([-1.0, -0.75, 0.0, 0.75])).counts.tolist() == [1, 1, 0, 0, 1, 0, 0, 1]
    values = torch.tensor([-torch.inf, -1e30, -1.1, 1.0, 1.1, 1e30, torch.inf, torch.nan])
    assert count(values).counts.tolist() == [3, 0, 0, 0, 0, 0, 0, 5]


def test_quantiles_are_right_to_one_bins_width_and_the_density_has_area_one():
    values = torch.randn(4000, generator=torch.Generator().manual_seed(0))
    histogram = count(values, -6, 6, bins=120)
    for q in [0.05, 0.5, 0.95]:
        assert histogram.quantile(q) == pytest.approx(values.quantile(q).item(), abs=0.1)
    assert (histogram.density * np.diff(histogram.edges)).sum() == pytest.approx(1)


def test_counting_works_in_half_precision_and_with_deterministic_algorithms(fit):
    torch.use_deterministic_algorithms(True)
    try:
        events = fit(LogitHistogram(), precision="bf16-true", max_epochs=1)
    finally:
        torch.use_deterministic_algorithms(False)
    assert sum(events.Histograms("logits/all")[0].histogram_value.bucket) == (8 + 8 + 5) * 3
