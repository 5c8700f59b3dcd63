"""Scaled batch normalization by running estimates in training."""

import pytest
import torch
from torch import Tensor

from sbn_lightning.heads import RunningStatisticsHead, ScaledBatchNorm
from sbn_lightning.heads.running_statistics import RunningBatchNorm

N, D, C = 16, 6, 5


@pytest.fixture
def logits() -> Tensor:
    random = torch.Generator().manual_seed(0)
    return 3 * torch.randn(N, C, generator=random, dtype=torch.float64) + torch.arange(C)


def test_estimates_are_the_moments_of_all_samples_each_with_its_weight(logits: Tensor) -> None:
    norm = RunningBatchNorm(C, momentum=0.25).double()
    batches = logits[:8].split([1, 3, 4])
    for batch in batches:
        norm(batch)
    # The start, mean 0 and variance 1, has weight 0.75^3; a batch's weight is shared by its samples.
    weights = torch.cat([torch.full((len(b),), 0.25 * 0.75 ** (2 - k) / len(b)) for k, b in enumerate(batches)])
    start, samples, weights = 0.75**3, logits[:8], weights.double()[:, None]
    mean = (weights * samples).sum(0)
    variance = (weights * (samples - mean).square()).sum(0) + start * (1 + mean.square())
    torch.testing.assert_close(norm.running_mean, mean, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(norm.running_var, variance, rtol=1e-12, atol=1e-12)


def test_evaluation_repeats_what_training_did_to_the_last_batch(logits: Tensor) -> None:
    norm = RunningBatchNorm(C, scale=2.0).double()
    for batch in logits.split(4):
        trained = norm(batch)
    torch.testing.assert_close(norm.eval()(batch), trained, rtol=1e-12, atol=1e-12)


def test_a_batch_may_hold_one_sample(logits: Tensor) -> None:
    norm = RunningBatchNorm(C).double()
    values = logits[:1].clone().requires_grad_()
    normalized = norm(values)
    normalized.sum().backward()
    assert normalized.isfinite().all()
    assert (values.grad > 0).all()


def test_momentum_1_is_scaled_batch_normalization(logits: Tensor) -> None:
    ours, theirs = RunningBatchNorm(C, 0.8, momentum=1.0).double(), ScaledBatchNorm(C, 0.8).double()
    values, others = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    for norm, given in ((ours, values), (theirs, others)):
        norm(given).sin().sum().backward()
    torch.testing.assert_close(ours(logits), theirs(logits), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(values.grad, others.grad, rtol=1e-10, atol=1e-12)


def test_first_steps_are_nearly_a_softmax_of_scaled_logits(logits: Tensor) -> None:
    norm = RunningBatchNorm(C, scale=2.0, momentum=1e-6).double()
    torch.testing.assert_close(norm(logits), 2 * logits, rtol=1e-4, atol=1e-4)


def test_trains_with_batches_of_two() -> None:
    torch.manual_seed(0)
    head = RunningStatisticsHead(D, 2, scale=3.0)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.01)
    labels = torch.randint(2, (400, 2))
    features = torch.randn(400, 2, D) + 2 * labels[..., None]
    for batch, truth in zip(features, labels, strict=True):
        optimizer.zero_grad()
        head.loss(head(batch), truth, batch).backward()
        optimizer.step()
    predicted = head.eval()(features.flatten(0, 1)).argmax(1)
    assert (predicted == labels.flatten()).float().mean() > 0.95
