"""PEDCC-Loss: AM-Softmax on fixed centroids that are as far apart as possible, plus the distance to the true one."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_lightning.heads import PEDCCHead, simplex_centroids

N, D, C, E = 12, 6, 4, 8


@pytest.fixture
def features() -> Tensor:
    return torch.rand(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(N) % C


@pytest.mark.parametrize("root", [1.0, 2.0, 3.5])
def test_loss_is_am_softmax_plus_the_root_of_the_mean_squared_distance(
    features: Tensor, labels: Tensor, root: float
) -> None:
    head = PEDCCHead(D, C, 10.0, 0.5, mse_weight=0.7, root=root, embedding_dim=None, eps=1e-3).double()
    unit = F.normalize(features)
    mse = 0.5 * (unit - head.centroids[labels]).square().sum(dim=1).mean()
    logits = 10.0 * unit @ head.centroids.T
    expected = F.cross_entropy(logits - 5.0 * F.one_hot(labels, C), labels) + 0.7 * (mse + 1e-3) ** (1 / root)
    # the centroids are stored in float32, whose lengths are 1 to 1e-7
    torch.testing.assert_close(head.loss(head(features), labels, features), expected, rtol=1e-6, atol=0)


def test_neck_is_a_linear_map_then_batch_norm(features: Tensor) -> None:
    head = PEDCCHead(D, C, embedding_dim=E).double()
    weight = head.get_parameter("neck.linear.weight")
    embedding = F.batch_norm(features @ weight.T, None, None, training=True)
    torch.testing.assert_close(head(features), 7.5 * F.normalize(embedding) @ head.centroids.T, rtol=1e-10, atol=1e-10)


def test_evaluation_has_no_margin(features: Tensor, labels: Tensor) -> None:
    head = PEDCCHead(D, C, mse_weight=0.0, embedding_dim=None).double().eval()
    logits = head(features)
    torch.testing.assert_close(head.loss(logits, labels, features), F.cross_entropy(logits, labels))


def test_features_on_their_centroid_have_no_distance(labels: Tensor) -> None:
    head = PEDCCHead(D, C, embedding_dim=None).double().eval()
    features = 3 * head.centroids[labels]
    logits = head(features)
    distance = head.loss(logits, labels, features) - F.cross_entropy(logits, labels)
    assert abs(distance.item() - 1e-5) < 1e-6  # eps


def test_centroids_are_fixed_saved_and_chosen_by_the_seed() -> None:
    head = PEDCCHead(D, C, embedding_dim=None, seed=1)
    assert list(head.parameters()) == []
    assert set(head.state_dict()) == {"centroids"}
    assert torch.equal(head.centroids, PEDCCHead(D, C, embedding_dim=None, seed=1).centroids)
    assert not torch.equal(head.centroids, PEDCCHead(D, C, embedding_dim=None, seed=2).centroids)


def test_too_few_dimensions_are_refused() -> None:
    assert PEDCCHead(D, 9, embedding_dim=8).centroids.shape == (9, 8)
    for embedding_dim in (8, 0, -5, None):
        with pytest.raises(ValueError, match=r"10 centroids .*set embedding_dim to 9 or more"):
            PEDCCHead(D, 10, embedding_dim=embedding_dim)


@pytest.mark.parametrize(
    "setting", [{"scale": -1.0}, {"margin": -0.1}, {"mse_weight": -1.0}, {"root": 0.5}, {"eps": 0.0}]
)
def test_impossible_settings_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(setting))):
        PEDCCHead(D, C, **setting)


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100, 200, 361])
def test_all_pairs_of_centroids_have_the_same_cosine(num_classes: int) -> None:
    centroids = simplex_centroids(num_classes, 512)
    expected = torch.full((num_classes, num_classes), -1 / (num_classes - 1), dtype=torch.float64)
    expected.fill_diagonal_(1)
    torch.testing.assert_close(centroids @ centroids.T, expected, rtol=0, atol=1e-12)


def test_centroids_follow_from_the_seed_alone() -> None:
    state = torch.get_rng_state()
    centroids = simplex_centroids(4, 6, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(simplex_centroids(4, 6, seed=3), centroids)
    assert not torch.allclose(simplex_centroids(4, 6, seed=4), centroids, atol=0.1)


def test_centroids_sum_to_zero_in_every_direction() -> None:
    torch.testing.assert_close(simplex_centroids(7, 9).sum(dim=0), torch.zeros(9).double(), rtol=0, atol=1e-14)
