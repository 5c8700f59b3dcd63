from typing import Any

import pytest
import torch
from torch import nn

from sbn_lightning.backbones import DenseNetBC


@pytest.fixture
def shallow() -> DenseNetBC:
    """Of two layers in each block."""
    torch.manual_seed(0)
    return DenseNetBC(depth=16, growth_rate=6)


def num_parameters(depth: int, growth_rate: int) -> tuple[int, int]:
    """As the paper describes the network, without its classifier; and the number of its features."""
    channels = 2 * growth_rate
    total = 3 * 9 * channels
    for block in range(3):
        for _ in range((depth - 4) // 6):
            total += 2 * channels + channels * 4 * growth_rate  # normalization and 1×1 convolution
            total += 2 * 4 * growth_rate + 9 * 4 * growth_rate * growth_rate  # normalization and 3×3 convolution
            channels += growth_rate
        if block < 2:
            total += 2 * channels + channels * (channels // 2)
            channels //= 2
    return total + 2 * channels, channels


@pytest.mark.parametrize(
    ("depth", "growth_rate", "millions"), [(100, 12, 0.8), (250, 24, 15.3), (190, 40, 25.6)], ids=str
)
def test_number_of_parameters_is_that_of_the_paper(depth: int, growth_rate: int, millions: float) -> None:
    with torch.device("meta"):
        backbone = DenseNetBC(depth, growth_rate)
    found = sum(parameter.numel() for parameter in backbone.parameters())
    assert (found, backbone.num_features) == num_parameters(depth, growth_rate)
    assert round((found + (backbone.num_features + 1) * 10) / 1e6, 1) == millions  # Table 2: with the classifier


def test_default_is_the_papers_densenet_bc_100_with_k_12() -> None:
    with torch.device("meta"):
        backbone = DenseNetBC()
    layers = [module for module in backbone.modules() if isinstance(module, nn.Conv2d)]
    assert len(layers) + 1 == 100  # with the classifier
    # 24 + 16·12 = 216; 108 + 192 = 300; 150 + 192 = 342
    assert backbone.num_features == 342


@pytest.mark.parametrize("side", [4, 31, 32, 64])
def test_stages_add_channels_and_halve_them_and_the_image_between_blocks(shallow: DenseNetBC, side: int) -> None:
    maps = shallow.stem(torch.randn(1, 3, side, side))
    assert maps.shape == (1, 12, side, side)
    shapes = []
    for stage in shallow.eval().stages:
        maps = stage(maps)
        shapes.append(tuple(maps.shape))
    # 12 + 2·6 = 24; 24/2 + 2·6 = 24; the same again
    assert shapes == [(1, 24, side, side), (1, 24, side // 2, side // 2), (1, 24, side // 4, side // 4)]


def test_layer_keeps_the_maps_that_it_sees_and_adds_growth_rate_new_ones(shallow: DenseNetBC) -> None:
    layer: Any = shallow.stages[0][1]
    maps = torch.randn(2, 12 + 6, 5, 5)
    result = layer(maps.clone())
    assert result.shape == (2, 12 + 6 + 6, 5, 5)
    assert torch.equal(result[:, : 12 + 6], maps)
    kinds = [type(part).__name__ for part in layer.new]
    assert kinds == ["BatchNorm2d", "ReLU", "Conv2d", "BatchNorm2d", "ReLU", "Conv2d"]
    assert [layer.new[2].weight.shape, layer.new[5].weight.shape] == [(24, 18, 1, 1), (6, 24, 3, 3)]


def test_features_are_the_last_maps_normalized_cut_at_0_and_averaged(shallow: DenseNetBC) -> None:
    images = torch.randn(2, 3, 12, 12)
    with torch.no_grad():
        maps = shallow.eval().stages(shallow.stem(images))
        expected = shallow.last[0](maps).clamp(min=0).flatten(2).mean(2)
        torch.testing.assert_close(shallow(images), expected)


def test_random_convolutions_have_the_variance_of_the_authors_code() -> None:
    torch.manual_seed(0)
    for convolution in DenseNetBC(depth=10, growth_rate=24).modules():
        if isinstance(convolution, nn.Conv2d):
            expected = (2 / (convolution.kernel_size[0] ** 2 * convolution.out_channels)) ** 0.5
            torch.testing.assert_close(convolution.weight.std(), torch.tensor(expected), rtol=0.1, atol=0)


@pytest.mark.parametrize("depth", [4, 40 + 1, 101])
def test_depth_that_gives_no_equal_blocks_is_refused(depth: int) -> None:
    with pytest.raises(ValueError, match=rf"depth {depth} must be 6 n \+ 4, at least 10: use 40, 100, 190 or 250"):
        DenseNetBC(depth)


def test_growth_rate_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match="growth_rate 0 must be at least 1"):
        DenseNetBC(growth_rate=0)
