import pytest
import torch

from sbn_lightning.callbacks import ClassWeightNorm
from sbn_lightning.figures import draw_norms


def test_norms_are_those_of_the_weights_and_of_the_effective_weights(fit, classifier):
    events = fit(ClassWeightNorm(), model=classifier)
    norm = classifier.head.linear.weight.detach().norm(dim=1)
    for name, expected in {"norm": norm, "effective_norm": 2 * norm}.items():
        for statistic in ["mean", "min", "max"]:
            written = events.Scalars(f"class_weight/{name}_{statistic}")[-1]
            assert written.value == pytest.approx(getattr(expected, statistic)().item(), rel=1e-6)
        histogram = events.Histograms(f"class_weight/{name}")[-1].histogram_value
        assert histogram.num == len(expected)
        assert histogram.sum == pytest.approx(expected.sum().item(), rel=1e-6)


def test_written_after_each_validation_but_not_after_the_sanity_check(fit):
    events = fit(ClassWeightNorm(), num_sanity_val_steps=2)
    for points in [events.Scalars("class_weight/norm_mean"), events.Images("figure3/class_weight_norm")]:
        assert [event.step for event in points] == [3, 7]


def test_written_after_each_training_epoch_without_validation(fit):
    events = fit(ClassWeightNorm(), limit_val_batches=0)
    assert [event.step for event in events.Scalars("class_weight/norm_mean")] == [3, 7]


@pytest.mark.parametrize("class_names", [None, ["apple", "bear", "cat"]])
def test_classes_are_named_by_the_data_module_or_numbered(fit, data, monkeypatch, class_names):
    if class_names:
        data.class_names = class_names
    drawn = []
    monkeypatch.setattr(
        "sbn_lightning.callbacks.class_weight_norm.draw_norms",
        lambda runs, names, subtitle: drawn.append((list(runs), names, subtitle)) or draw_norms(runs, names, subtitle),
    )
    fit(ClassWeightNorm(num_bars=2), data=data, max_epochs=1)
    assert drawn == [(["TinyHead"], ["apple", "bear"] if class_names else ["0", "1"], "epoch 1")]


def test_diverged_weights_do_not_end_the_run(fit, classifier):
    torch.nn.init.constant_(classifier.head.linear.weight, torch.nan)
    events = fit(ClassWeightNorm(), model=classifier, max_epochs=1)
    assert len(events.Images("figure3/class_weight_norm")) == 1


def test_bad_num_bars_is_refused():
    with pytest.raises(ValueError, match="num_bars 0 must be at least 1"):
        ClassWeightNorm(num_bars=0)


def test_pictures_can_be_drawn_more_rarely_and_after_the_last_epoch(fit):
    events = fit(ClassWeightNorm(picture_every_n_epochs=2), max_epochs=3)
    assert [event.step for event in events.Images("figure3/class_weight_norm")] == [7, 11]
    assert len(events.Scalars("class_weight/norm_mean")) == 3
    with pytest.raises(ValueError, match="picture_every_n_epochs 0 must be at least 1"):
        ClassWeightNorm(picture_every_n_epochs=0)
