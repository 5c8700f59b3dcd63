"""LogitNorm: logits of one length in training."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_lightning.heads import LogitNormHead
from sbn_lightning.heads.logit_norm import largest_probability_of_length


@pytest.fixture
def logits() -> Tensor:
    return torch.randn(9, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


LABELS = torch.arange(9) % 4


def test_loss_of_known_logits() -> None:
    # (3, 4) has length 5: scale 10 makes it (6, 8), and the loss of the first class log(1 + e^2) = 2.126928
    head = LogitNormHead(2, 2, scale=10.0)
    logits = torch.tensor([[3.0, 4.0]])
    loss = head.loss(logits, torch.tensor([0]), logits).item()
    assert math.log(1 + math.exp(2)) == pytest.approx(2.126928, abs=5e-7)
    assert loss == pytest.approx(2.126928, abs=2e-6)


def test_is_the_equation_of_the_paper_with_temperature_1_by_scale(logits: Tensor) -> None:
    tau, eps = 0.04, 1e-7
    expected = F.cross_entropy(logits / (tau * (logits.norm(dim=1, keepdim=True) + eps)), LABELS)
    loss = LogitNormHead(4, 4, scale=1 / tau, eps=eps).loss(logits, LABELS, logits)
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_training_loss_ignores_the_length_of_each_samples_logits(logits: Tensor) -> None:
    head = LogitNormHead(4, 4, eps=1e-15)
    lengths = torch.linspace(0.1, 50, 9, dtype=torch.float64)[:, None]
    before = head.loss(logits, LABELS, logits)
    torch.testing.assert_close(head.loss(lengths * logits, LABELS, logits), before, rtol=1e-12, atol=0)


def test_gradient_is_orthogonal_to_each_samples_logits(logits: Tensor) -> None:
    logits.requires_grad_()
    LogitNormHead(4, 4, eps=1e-15).loss(logits, LABELS, logits).backward()
    assert (logits.grad * logits.detach()).sum(1).abs().max() < 1e-12
    assert logits.grad.norm(dim=1).min() > 1e-6


def test_inference_takes_the_logits_as_they_are(logits: Tensor) -> None:
    head = LogitNormHead(4, 4).double()
    expected = F.linear(logits, head.linear.weight, head.linear.bias)
    assert torch.equal(head(logits), expected)
    assert torch.equal(head.eval().loss(expected, LABELS, logits), F.cross_entropy(expected, LABELS))


def test_zero_logits_have_a_finite_loss_and_gradient() -> None:
    logits = torch.zeros(2, 3, requires_grad=True)
    loss = LogitNormHead(3, 3).loss(logits, torch.tensor([0, 1]), logits)
    loss.backward()
    assert loss.item() == pytest.approx(math.log(3))
    assert logits.grad.isfinite().all()


@pytest.mark.parametrize(("scale", "num_classes"), [(1.0, 2), (5.0, 10), (25.0, 100)])
def test_no_logits_of_this_length_give_a_class_more(scale: float, num_classes: int) -> None:
    best = torch.full((num_classes,), -1 / num_classes, dtype=torch.float64)
    best[0] += 1
    probability = (scale * best / best.norm()).softmax(0)[0].item()
    assert probability == pytest.approx(largest_probability_of_length(scale, num_classes), rel=1e-12)
    random = torch.randn(1000, num_classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert (scale * F.normalize(random)).softmax(1).max() <= probability


@pytest.mark.parametrize("num_classes", [2, 10, 100])
def test_advised_scale_is_the_first_that_allows_nine_tenths(num_classes: int) -> None:
    counts = torch.ones(num_classes)
    (sentence,) = LogitNormHead(4, num_classes, scale=0.5).advice(counts)
    assert f"Scale 0.5 is small for {num_classes} classes" in sentence
    advised = float(sentence.split("--model.head.scale ")[1].split()[0])
    assert LogitNormHead(4, num_classes, scale=advised).advice(counts) == []
    assert LogitNormHead(4, num_classes, scale=advised - 0.1).advice(counts) != []


@pytest.mark.parametrize("setting", [{"scale": 0.0}, {"eps": 0.0}])
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        LogitNormHead(4, 4, **setting)
