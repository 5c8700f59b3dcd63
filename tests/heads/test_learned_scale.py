"""Scaled batch normalization with a learned scale."""

import pytest
import torch
from torch import Tensor

from sbn_lightning.heads import LearnedScaleHead, ScaledBatchNormHead

N, D, C = 16, 6, 5


@pytest.fixture
def features() -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def heads() -> tuple[LearnedScaleHead, ScaledBatchNormHead]:
    """Both with the same weights."""
    learned, fixed = LearnedScaleHead(D, C, scale=1.5).double(), ScaledBatchNormHead(D, C, scale=1.5).double()
    fixed.linear.load_state_dict(learned.linear.state_dict())
    return learned, fixed


def test_starts_as_the_head_with_a_fixed_scale(features: Tensor) -> None:
    learned, fixed = heads()
    for _ in range(2):
        torch.testing.assert_close(learned(features), fixed(features), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(learned.eval()(features), fixed.eval()(features), rtol=1e-12, atol=1e-12)


def test_scale_is_one_trained_number_beside_the_weights() -> None:
    parameters = dict(LearnedScaleHead(D, C, scale=1.5).named_parameters())
    assert {name: tuple(parameter.shape) for name, parameter in parameters.items()} == {
        "linear.weight": (C, D), "norm.scale": (),
    }  # fmt: skip
    assert parameters["norm.scale"].item() == 1.5


def test_training_raises_the_scale_of_separated_classes() -> None:
    labels = torch.arange(N) % C
    features = torch.eye(C, D, dtype=torch.float64)[labels]
    learned, _ = heads()
    optimizer = torch.optim.SGD(learned.parameters(), lr=0.5)
    for _ in range(50):
        optimizer.zero_grad()
        learned.loss(learned(features), labels, features).backward()
        optimizer.step()
    assert learned.norm.scale > 2


def test_there_is_nothing_to_say_about_a_small_scale_which_grows() -> None:
    assert LearnedScaleHead(D, 10, scale=0.1).advice(torch.full((10,), 100)) == []


def test_settings_are_printed_without_the_value_of_a_tensor() -> None:
    assert "scale=tensor" in repr(LearnedScaleHead(D, C))
