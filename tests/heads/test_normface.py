"""NormFace: a softmax over scaled cosines."""

import math

import pytest
import torch
import torch.nn.functional as F

from sbn_lightning.heads import AMSoftmaxHead, ArcFaceHead, NormFaceHead


def test_loss_of_known_cosines() -> None:
    # features along the first axis, weights at 60° and 90°: cosines 0.5 and 0
    head = NormFaceHead(2, 2, scale=4.0).double()
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[3.0, 3 * math.sqrt(3)], [0.0, 0.1]]))
    features = torch.tensor([[7.0, 0.0]], dtype=torch.float64)
    loss = head.loss(head(features), torch.tensor([0]), features).item()
    assert loss == pytest.approx(math.log(1 + math.exp(-4 * 0.5)), rel=1e-6)  # the weights are rounded to float32


@pytest.mark.parametrize("head_class", [AMSoftmaxHead, ArcFaceHead])
def test_is_a_margin_of_zero(head_class: type[AMSoftmaxHead] | type[ArcFaceHead]) -> None:
    features = torch.randn(9, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    labels = torch.arange(9) % 4
    head, other = NormFaceHead(6, 4, 5.0).double(), head_class(6, 4, 5.0, 0.0).double()
    other.load_state_dict(head.state_dict())
    logits = head(features)
    assert torch.equal(other(features), logits)
    loss = head.loss(logits, labels, features)
    assert torch.equal(loss, F.cross_entropy(logits, labels))
    torch.testing.assert_close(other.loss(logits, labels, features), loss, rtol=1e-12, atol=0)


def test_scale_must_be_positive() -> None:
    with pytest.raises(ValueError, match="scale must be positive, got 0"):
        NormFaceHead(6, 4, scale=0.0)


def test_advice_names_a_scale_that_is_too_small() -> None:
    (sentence,) = NormFaceHead(6, 100, scale=2.0).advice(torch.ones(100))
    assert sentence.startswith("Scale 2 is small for 100 classes")
    assert NormFaceHead(6, 10_000).advice(torch.ones(10_000)) == []
