import numpy as np
import pytest
import torch

from sbn_lightning.callbacks import LogitHistogram


@pytest.fixture
def events_and_epochs(fit, recorder):
    """What was written, and per validation epoch the (logits, logits of the true class) that the model gave."""
    events = fit(LogitHistogram(-1, 1, 10), recorder, num_sanity_val_steps=2)
    epochs = []
    for outputs in recorder.val:
        logits, labels = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        epochs.append({"all": logits.flatten(), "true_class": logits[range(len(labels)), labels]})
    return events, epochs


@pytest.mark.parametrize("name", ["all", "true_class"])
def test_histogram_counts_each_epochs_logits_and_not_the_sanity_checks(events_and_epochs, name):
    events, epochs = events_and_epochs
    written = [event.histogram_value for event in events.Histograms(f"logits/{name}")]
    assert len(written) == len(epochs) == 2
    for histogram, values in zip(written, (epoch[name] for epoch in epochs), strict=True):
        assert (values.abs() > 1).any()  # the end bins take these
        counts, edges = np.histogram(values.clamp(-0.99, 0.99).numpy(), bins=10, range=(-1, 1))
        assert histogram.bucket == counts.tolist()
        assert histogram.bucket_limit == pytest.approx(edges[1:])
        filled = np.flatnonzero(counts)
        assert (histogram.min, histogram.max) == pytest.approx((edges[filled[0]], edges[filled[-1] + 1]))
        assert histogram.num == len(values)
        assert histogram.sum == pytest.approx(values.sum().item(), rel=1e-5)
        assert histogram.sum_squares == pytest.approx(values.square().sum().item(), rel=1e-5)


def test_scalars_are_mean_std_and_quantiles(events_and_epochs):
    events, epochs = events_and_epochs
    for i, epoch in enumerate(epochs):
        values = {tag: events.Scalars(f"logits/{tag}")[i].value for tag in ["mean", "std"]}
        assert values["mean"] == pytest.approx(epoch["all"].mean().item(), rel=1e-5)
        assert values["std"] == pytest.approx(epoch["all"].std(correction=0).item(), rel=1e-5)
        for name, logits in epoch.items():
            median = logits.clamp(-1, 1).median().item()
            assert events.Scalars(f"logits/{name}_p50")[i].value == pytest.approx(median, abs=0.2)
            p05, p50, p95 = (events.Scalars(f"logits/{name}_p{q}")[i].value for q in ("05", "50", "95"))
            assert -1 <= p05 <= p50 <= p95 <= 1


def test_points_lie_at_lightnings_own_steps(events_and_epochs):
    events, _ = events_and_epochs
    assert [event.step for event in events.Scalars("val/loss")] == [3, 7]  # 4 steps an epoch, from 0
    for points in [events.Scalars("logits/mean"), events.Histograms("logits/all"), events.Images("figure2/logits")]:
        assert [event.step for event in points] == [3, 7]


def test_picture_is_a_png_of_readable_size(events_and_epochs):
    events, _ = events_and_epochs
    image = events.Images("figure2/logits")[0]
    assert image.encoded_image_string.startswith(b"\x89PNG")
    assert (image.width, image.height) == (520, 460)


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


def test_pictures_can_be_drawn_more_rarely_and_after_the_last_epoch(fit):
    events = fit(LogitHistogram(picture_every_n_epochs=2), max_epochs=3)
    assert [event.step for event in events.Images("figure2/logits")] == [7, 11]
    assert len(events.Histograms("logits/all")) == 3
    with pytest.raises(ValueError, match="picture_every_n_epochs 0 must be at least 1"):
        LogitHistogram(picture_every_n_epochs=0)
