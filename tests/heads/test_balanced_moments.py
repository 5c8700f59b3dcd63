"""Scaled batch normalization by moments in which each class weighs the same."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_lightning.heads import BalancedMomentsHead, ScaledBatchNormHead, separated_loss
from sbn_lightning.heads.balanced_moments import balanced_moments

N, D, C = 16, 6, 4


@pytest.fixture
def features() -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_moments_of_known_values() -> None:
    # class 0 has 0, 0 and 3, of mean 1; class 2 has 5; class 1 none: mean (1 + 5) / 2 = 3
    values, labels = torch.tensor([[0.0], [0.0], [3.0], [5.0]]).repeat(1, 3), torch.tensor([0, 0, 0, 2])
    mean, variance, correction = balanced_moments(values, labels)
    assert mean.tolist() == pytest.approx([3.0] * 3)
    # ((9 + 9 + 0) / 3 + 4) / 2 = 5; weights 1/6, 1/6, 1/6 and 1/2: 1 / (1 - 3/36 - 1/4) = 1.5
    assert variance.tolist() == pytest.approx([5.0] * 3)
    assert correction.item() == pytest.approx(1.5)


def test_classes_of_one_size_make_it_scaled_batch_normalization(features: Tensor) -> None:
    torch.manual_seed(0)
    labels = torch.arange(N) % C
    ours, theirs = BalancedMomentsHead(D, C, scale=2.0).double(), ScaledBatchNormHead(D, C, scale=2.0).double()
    theirs.load_state_dict(ours.state_dict())
    optimizers = [torch.optim.SGD(head.parameters(), lr=0.5, momentum=0.9) for head in (ours, theirs)]
    for step in range(5):
        batch = features.roll(step, dims=1)
        losses = [head.loss(head(batch), labels, batch) for head in (ours, theirs)]
        torch.testing.assert_close(losses[0], losses[1], rtol=1e-10, atol=1e-12)
        for loss, optimizer in zip(losses, optimizers, strict=True):
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    torch.testing.assert_close(ours.state_dict(), theirs.state_dict(), rtol=1e-9, atol=1e-11)
    torch.testing.assert_close(ours.eval()(features), theirs.eval()(features), rtol=1e-9, atol=1e-11)


def test_logits_of_training_are_those_of_inference(features: Tensor) -> None:
    head = BalancedMomentsHead(D, C).double()
    for _ in range(3):
        head.loss(head(features), torch.arange(N) % C, features)
    torch.testing.assert_close(head(features), copy.deepcopy(head).eval()(features), rtol=1e-12, atol=1e-12)


def test_more_samples_of_a_class_change_nothing(features: Tensor) -> None:
    labels = torch.arange(N) % C
    head = BalancedMomentsHead(D, C, eps=1e-12).double()
    often = torch.cat([features, *[features[labels == 0]] * 5])
    logits, labels_of_often = head.linear(often), torch.cat([labels, torch.zeros(5 * N // C, dtype=torch.int64)])
    for one, other in zip(
        balanced_moments(logits[:N], labels)[:2], balanced_moments(logits, labels_of_often)[:2], strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


def test_separated_classes_of_unequal_size_all_have_the_loss_of_equal_ones() -> None:
    labels = torch.repeat_interleave(torch.arange(C), torch.tensor([50, 20, 9, 1]))
    features = F.one_hot(labels, C).double()
    head = BalancedMomentsHead(C, C, scale=1.3, eps=1e-12).double()
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(C))
    loss = head.loss(head(features), labels, features).item()
    assert loss == pytest.approx(separated_loss(torch.full((C,), 1 / C), 1.3), rel=1e-6)


def test_loss_does_not_depend_on_the_running_estimates(features: Tensor) -> None:
    labels = torch.randint(C, (N,), generator=torch.Generator().manual_seed(0))
    head = BalancedMomentsHead(D, C).double()
    before = head.loss(head(features), labels, features)
    for _ in range(20):
        head.loss(head(3 * features + 1), labels, features)
    torch.testing.assert_close(head.loss(head(features), labels, features), before, rtol=1e-12, atol=0)


def test_moments_have_the_gradients_of_finite_differences(features: Tensor) -> None:
    labels = torch.randint(C, (N,), generator=torch.Generator().manual_seed(0))
    values = features[:, :C].clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda v: balanced_moments(v, labels)[:2], values)


def test_one_training_sample_is_refused_with_advice(features: Tensor) -> None:
    head = BalancedMomentsHead(D, C).double()
    with pytest.raises(ValueError, match=r"at least 2 samples.*got 1"):
        head.loss(head(features[:1]), torch.tensor([0]), features[:1])


def test_advice_is_that_of_equal_classes() -> None:
    counts = torch.tensor([1000, *[10] * 9])
    assert len(ScaledBatchNormHead(D, 10, scale=1.4).advice(counts)) == 1
    assert BalancedMomentsHead(D, 10, scale=1.4).advice(counts) == []
    (advice,) = BalancedMomentsHead(D, 10, scale=0.9).advice(counts)
    assert "the largest with 10.0% of the weight in the statistics" in advice
