"""Plain batch normalization of the logits, held against torch's."""

import pytest
import torch
from torch import Tensor, nn

from sbn_lightning.heads import BatchNormHead

N, D, C = 16, 6, 5


@pytest.fixture
def features() -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_trains_and_evaluates_as_a_linear_layer_without_bias_and_batchnorm1d(features: Tensor) -> None:
    torch.manual_seed(0)
    labels = torch.arange(N) % C
    ours = BatchNormHead(D, C, scale=1.0, eps=1e-3, momentum=0.2).double()
    theirs = nn.Sequential(nn.Linear(D, C, bias=False), nn.BatchNorm1d(C, eps=1e-3, momentum=0.2)).double()
    theirs[0].load_state_dict(ours.linear.state_dict())
    optimizers = [torch.optim.SGD(module.parameters(), lr=0.5, momentum=0.9) for module in (ours, theirs)]
    for step in range(10):
        batch = features.roll(step, dims=1)
        losses = [ours.loss(ours(batch), labels, batch), nn.functional.cross_entropy(theirs(batch), labels)]
        torch.testing.assert_close(losses[0], losses[1], rtol=1e-9, atol=1e-12)
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    pairs = [
        (ours.linear.weight, theirs[0].weight), (ours.norm.scale, theirs[1].weight), (ours.shift, theirs[1].bias),
        (ours.norm.running_mean, theirs[1].running_mean), (ours.norm.running_var, theirs[1].running_var),
        (ours.eval()(features), theirs.eval()(features)),
    ]  # fmt: skip
    for mine, other in pairs:
        torch.testing.assert_close(mine, other, rtol=1e-8, atol=1e-9)
    assert (ours.shift != 0).all()


def test_each_class_has_its_own_scale_and_shift(features: Tensor) -> None:
    head = BatchNormHead(D, C).double()
    with torch.no_grad():
        head.norm.scale.copy_(torch.arange(1, C + 1))
        head.shift.copy_(torch.arange(C))
    logits = head(features)
    torch.testing.assert_close(logits.mean(0), torch.arange(C).double(), rtol=0, atol=1e-12)
    torch.testing.assert_close(logits.std(0, correction=0), torch.arange(1, C + 1).double(), rtol=1e-3, atol=0)


@pytest.mark.parametrize("setting", [{"scale": 0.0}, {"eps": 0.0}, {"momentum": 2.0}])
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        BatchNormHead(D, C, **setting)
