"""AM-Softmax: the paper's equation 2."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_lightning.heads import AMSoftmaxHead

COSINES = [0.5, 0.1, -0.2]


def head_with_cosines(scale: float, margin: float) -> tuple[AMSoftmaxHead, Tensor]:
    """A head in the plane and a feature vector along the first axis, whose cosines are COSINES."""
    head = AMSoftmaxHead(2, 3, scale, margin).double()
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[2 * c, 2 * math.sqrt(1 - c * c)] for c in COSINES]))
    return head, torch.tensor([[3.0, 0.0]], dtype=torch.float64)


@pytest.mark.parametrize(("scale", "margin", "golden"), [(10.0, 0.5, 1.349012), (7.5, 0.35, 0.565160)])
def test_loss_of_known_cosines(scale: float, margin: float, golden: float) -> None:
    head, features = head_with_cosines(scale, margin)
    loss = head.loss(head(features), torch.tensor([0]), features).item()
    # equation 2, divided by its numerator
    expected = math.log(1 + sum(math.exp(scale * (c - (COSINES[0] - margin))) for c in COSINES[1:]))
    assert expected == pytest.approx(golden, abs=5e-7)
    assert loss == pytest.approx(expected, rel=1e-6)  # the weights above are rounded to float32


def test_evaluation_has_no_margin() -> None:
    head, features = head_with_cosines(10.0, 0.5)
    head.eval()
    expected = math.log(sum(math.exp(10 * (c - COSINES[0])) for c in COSINES))
    assert head.loss(head(features), torch.tensor([0]), features).item() == pytest.approx(expected, rel=1e-5)


@pytest.fixture
def features() -> Tensor:
    return torch.randn(9, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(9) % 4


def test_margin_zero_is_cross_entropy_of_scaled_cosines(features: Tensor, labels: Tensor) -> None:
    head = AMSoftmaxHead(6, 4, scale=7.5, margin=0.0).double()
    cosines = F.cosine_similarity(features[:, None], head.linear.weight[None], dim=2)
    torch.testing.assert_close(head(features), 7.5 * cosines, rtol=1e-12, atol=1e-12)
    loss = head.loss(head(features), labels, features)
    torch.testing.assert_close(loss, F.cross_entropy(7.5 * cosines, labels), rtol=1e-12, atol=0)


def test_logits_ignore_the_lengths_of_features_and_weights(features: Tensor) -> None:
    head = AMSoftmaxHead(6, 4).double()
    before = head(features)
    lengths = torch.linspace(0.1, 50, 9, dtype=torch.float64)[:, None]
    with torch.no_grad():
        head.linear.weight.mul_(torch.tensor([[0.1], [1], [7], [100]]))
    torch.testing.assert_close(head(lengths * features), before, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("scale", "margin", "name"), [(0.0, 0.35, "scale"), (7.5, -0.1, "margin")])
def test_impossible_settings_are_refused(scale: float, margin: float, name: str) -> None:
    with pytest.raises(ValueError, match=name):
        AMSoftmaxHead(6, 4, scale, margin)
