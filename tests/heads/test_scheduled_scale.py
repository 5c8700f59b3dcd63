"""Scaled batch normalization whose scale changes over the first epochs."""

from typing import Any

import pytest
import torch

from sbn_lightning.heads import ScaledBatchNormHead, ScheduledScaleHead

N, D, C = 16, 6, 5


def test_scale_moves_in_equal_steps_and_then_stays() -> None:
    head = ScheduledScaleHead(D, C, scale=3.0, first_scale=1.0, scale_epochs=4)
    scales = []
    for epoch in range(7):
        head.start_epoch(epoch)
        scales.append(head.norm.scale.item())
    assert scales == [1.0, 1.5, 2.0, 2.5, 3.0, 3.0, 3.0]


@pytest.mark.parametrize(("epoch", "scale"), [(0, 1.0), (2, 2.0), (9, 3.0)])
def test_in_each_epoch_it_is_the_head_with_that_scale(epoch: int, scale: float) -> None:
    torch.manual_seed(0)
    scheduled = ScheduledScaleHead(D, C, scale=3.0, first_scale=1.0, scale_epochs=4).double()
    fixed = ScaledBatchNormHead(D, C, scale=scale).double()
    fixed.linear.load_state_dict(scheduled.linear.state_dict())
    scheduled.start_epoch(epoch)
    features = torch.randn(N, D, dtype=torch.float64)
    torch.testing.assert_close(scheduled(features), fixed(features), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(scheduled.eval()(features), fixed.eval()(features), rtol=1e-12, atol=1e-12)


def test_scale_is_a_buffer_that_is_changed_in_place_and_saved() -> None:
    head = ScheduledScaleHead(D, C, scale=3.0, first_scale=1.0, scale_epochs=4)
    buffer = head.norm.scale
    head.start_epoch(1)
    assert head.norm.scale is buffer
    assert "norm.scale" not in dict(head.named_parameters())
    fresh = ScheduledScaleHead(D, C)
    fresh.load_state_dict(head.state_dict())
    assert fresh.norm.scale.item() == 1.5


def test_advice_is_about_the_last_scale() -> None:
    counts = torch.full((10,), 100)
    assert ScheduledScaleHead(D, 10, scale=3.0, first_scale=0.1).advice(counts) == []
    (advice,) = ScheduledScaleHead(D, 10, scale=0.9, first_scale=3.0).advice(counts)
    assert "Scale 0.9 is small" in advice


@pytest.mark.parametrize("setting", [{"first_scale": 0.0}, {"scale_epochs": 0}, {"scale": -1.0}])
def test_impossible_settings_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        ScheduledScaleHead(D, C, **setting)
