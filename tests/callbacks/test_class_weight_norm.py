import pytest
import torch

from sbn_lightning.callbacks import ClassWeightNorm
from sbn_lightning.figures import draw_norms_of_one_run


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


@pytest.mark.parametrize("settings", [{"num_sanity_val_steps": 2}, {"limit_val_batches": 0}])
def test_written_after_each_training_epoch(fit, settings):
    events = fit(ClassWeightNorm(), **settings)
    for points in [events.Scalars("class_weight/norm_mean"), events.Images("figure3/class_weight_norm")]:
        assert [event.step for event in points] == [3, 7]


def test_the_first_classes_are_drawn_with_the_head_and_the_epoch_as_title(fit, monkeypatch):
    drawn = []

    def draw(norms, names, title):
        drawn.append((names, title))
        return draw_norms_of_one_run(norms, names, title)

    monkeypatch.setattr("sbn_lightning.callbacks.class_weight_norm.draw_norms_of_one_run", draw)
    fit(ClassWeightNorm(num_bars=2), max_epochs=1)
    assert drawn == [(("apple", "bear"), "Tiny, epoch 1")]
    with pytest.raises(ValueError, match="num_bars 0 must be at least 1"):
        ClassWeightNorm(num_bars=0)


def test_diverged_weights_do_not_end_the_run(fit, classifier):
    torch.nn.init.constant_(classifier.head.linear.weight, torch.nan)
    events = fit(ClassWeightNorm(), model=classifier, max_epochs=1)
    assert len(events.Images("figure3/class_weight_norm")) == 1
