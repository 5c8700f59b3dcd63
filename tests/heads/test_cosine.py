"""Scaled cosines and their closed-form gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_lightning.heads import AMSoftmaxHead, PEDCCHead, simplex_centroids
from sbn_lightning.heads.cosine import largest_probability, projection, scale_advice, scaled_cosine, unit


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


def test_projection_is_the_feature_length_times_the_cosine(features: Tensor, weight: Tensor) -> None:
    lengths = features.norm(dim=1, keepdim=True)
    torch.testing.assert_close(projection(features, weight), lengths * scaled_cosine(features, weight, 1.0))
    assert torch.autograd.gradcheck(projection, (features, weight))


def test_zero_vectors_have_cosine_zero_and_no_gradient(features: Tensor, weight: Tensor) -> None:
    with torch.no_grad():
        features[2] = 0
        weight[1] = 0
    logits = scaled_cosine(features, weight, 3.0)
    assert (logits[2] == 0).all()
    assert (logits[:, 1] == 0).all()
    assert (unit(features)[2] == 0).all()
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


@pytest.mark.parametrize(("scale", "num_classes"), [(1.0, 2), (4.0, 3), (7.5, 100), (30.0, 361)])
def test_largest_probability_is_that_of_features_on_a_regular_simplex(scale: float, num_classes: int) -> None:
    perfect = simplex_centroids(num_classes, num_classes, 0).double()
    probabilities = (scale * perfect @ perfect.T).softmax(1).diagonal()
    torch.testing.assert_close(
        probabilities, torch.full_like(probabilities, largest_probability(scale, num_classes)), rtol=1e-5, atol=0
    )


def test_no_features_have_a_lower_loss_than_the_simplex() -> None:
    labels = torch.arange(6)
    parameters = torch.randn(2, 6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    optimizer = torch.optim.Adam([parameters], lr=0.1)
    for _ in range(200):
        loss = F.cross_entropy(scaled_cosine(parameters[0], parameters[1], 4.0), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    bound = -torch.tensor(largest_probability(4.0, 6)).log().item()
    assert bound * (1 - 1e-9) < loss.item() < 1.05 * bound  # five dimensions are enough for the simplex of six


@pytest.mark.parametrize("num_classes", [2, 10, 100, 361])
def test_advised_scale_is_the_first_that_allows_nine_tenths(num_classes: int) -> None:
    (sentence,) = scale_advice(0.5, num_classes)
    assert f"Scale 0.5 is small for {num_classes} classes" in sentence
    advised = float(sentence.split("--model.head.scale ")[1].split()[0])
    assert scale_advice(advised, num_classes) == []
    assert scale_advice(advised - 0.1, num_classes) != []


@pytest.mark.parametrize("head_class", [AMSoftmaxHead, PEDCCHead])
def test_heads_with_cosines_name_their_scale(head_class: type[AMSoftmaxHead] | type[PEDCCHead]) -> None:
    assert head_class(8, 200).advice(torch.ones(200)) == []
    (sentence,) = head_class(8, 500).advice(torch.ones(500))
    assert sentence.startswith("Scale 7.5 is small for 500 classes")
