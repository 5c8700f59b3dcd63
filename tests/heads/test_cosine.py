"""Scaled cosines and their closed-form gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_lightning.heads.cosine import scaled_cosine


@pytest.fixture
def features() -> Tensor:
    return torch.randn(7, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.fixture
def weight() -> Tensor:
    return torch.randn(4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()


def test_values_and_gradients_are_those_of_the_definition(features: Tensor, weight: Tensor) -> None:
    upstream = torch.randn(7, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = 3.0 * F.normalize(features) @ F.normalize(weight).T
    gradients = torch.autograd.grad(expected, (features, weight), upstream)
    logits = scaled_cosine(features, weight, 3.0)
    torch.testing.assert_close(logits, expected, rtol=1e-12, atol=1e-12)
    for ours, theirs in zip(torch.autograd.grad(logits, (features, weight), upstream), gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_gradient_agrees_with_finite_differences(features: Tensor, weight: Tensor) -> None:
    assert torch.autograd.gradcheck(lambda x, w: scaled_cosine(x, w, 7.5), (features, weight))


def test_zero_vectors_have_cosine_zero_and_no_gradient(features: Tensor, weight: Tensor) -> None:
    with torch.no_grad():
        features[2] = 0
        weight[1] = 0
    logits = scaled_cosine(features, weight, 3.0)
    assert (logits[2] == 0).all()
    assert (logits[:, 1] == 0).all()
    (logits.square().sum() + logits.sum()).backward()
    assert (features.grad[2] == 0).all()
    assert (weight.grad[1] == 0).all()
    assert features.grad.isfinite().all()


def test_gradient_is_orthogonal_to_each_vector(features: Tensor, weight: Tensor) -> None:
    scaled_cosine(features, weight, 3.0).sin().sum().backward()
    for vectors in (features, weight):
        torch.testing.assert_close((vectors.grad * vectors).sum(1), torch.zeros(len(vectors), dtype=torch.float64))


def test_result_has_the_weights_precision_under_autocast(features: Tensor, weight: Tensor) -> None:
    features, weight = features.detach().bfloat16(), weight.detach().float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits = scaled_cosine(features, weight, 3.0)
    torch.testing.assert_close(logits, 3.0 * F.normalize(features.float()) @ F.normalize(weight).T)
