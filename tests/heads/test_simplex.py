"""Class centroids that are as far apart as possible."""

import pytest
import torch

from sbn_lightning.heads import simplex_centroids


@pytest.mark.parametrize("num_classes", [2, 3, 10, 100, 200, 361])
def test_all_pairs_of_centroids_have_the_same_cosine(num_classes: int) -> None:
    centroids = simplex_centroids(num_classes, 512)
    expected = torch.full((num_classes, num_classes), -1 / (num_classes - 1), dtype=torch.float64)
    expected.fill_diagonal_(1)
    torch.testing.assert_close(centroids @ centroids.T, expected, rtol=0, atol=1e-12)


def test_one_dimension_less_than_classes_is_enough() -> None:
    assert simplex_centroids(5, 4).shape == (5, 4)
    with pytest.raises(ValueError, match=r"5 centroids .* at least 4 dimensions, got 3"):
        simplex_centroids(5, 3)


def test_centroids_follow_from_the_seed_alone() -> None:
    state = torch.get_rng_state()
    centroids = simplex_centroids(4, 6, seed=3)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(99)
    assert torch.equal(simplex_centroids(4, 6, seed=3), centroids)
    assert not torch.allclose(simplex_centroids(4, 6, seed=4), centroids, atol=0.1)


def test_centroids_sum_to_zero_in_every_direction() -> None:
    torch.testing.assert_close(simplex_centroids(7, 9).sum(dim=0), torch.zeros(9).double(), rtol=0, atol=1e-14)
