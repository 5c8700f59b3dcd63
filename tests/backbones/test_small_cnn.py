from itertools import pairwise

import pytest
import torch

from sbn_lightning.backbones import SmallCNN


@pytest.mark.parametrize("size", [(1, 1), (8, 8), (28, 28), (32, 32), (33, 47), (64, 64)])
def test_any_image_size_works(size: tuple[int, int]) -> None:
    assert SmallCNN(width=4)(torch.randn(2, 3, *size)).shape == (2, 16)


def test_the_odd_last_row_and_column_count() -> None:
    torch.manual_seed(0)
    backbone = SmallCNN(width=4).eval()
    images = torch.randn(1, 3, 9, 9, requires_grad=True)
    backbone(images).sum().backward()
    assert images.grad is not None
    assert images.grad[..., -1, :].abs().sum() > 0
    assert images.grad[..., :, -1].abs().sum() > 0


def test_number_of_parameters_follows_from_the_width() -> None:
    channels = [3, 8, 16, 32, 32, 32]
    expected = sum(9 * before * after + 2 * after for before, after in pairwise(channels))
    assert sum(p.numel() for p in SmallCNN(width=8).parameters()) == expected


def test_width_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="width 0 must be at least 1"):
        SmallCNN(width=0)
