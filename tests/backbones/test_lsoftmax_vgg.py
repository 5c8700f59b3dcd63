from itertools import pairwise

import pytest
import torch
from torch import nn

from sbn_lightning.backbones import LSoftmaxVGG


@pytest.fixture(scope="module")
def backbone() -> LSoftmaxVGG:
    torch.manual_seed(0)
    return LSoftmaxVGG()


def test_layers_are_those_of_large_margin_softmax_for_cifar100(backbone: LSoftmaxVGG) -> None:
    order = {nn.Conv2d: "conv", nn.BatchNorm2d: "bn", nn.PReLU: "prelu", nn.MaxPool2d: "pool"}
    layers = [order[type(layer)] for layer in backbone.stages.modules() if type(layer) in order]
    block = ["conv", "bn", "prelu"]
    assert layers == block * 5 + ["pool"] + block * 4 + ["pool"] + block * 4 + ["pool"]

    convolutions = [layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [96] * 5 + [192] * 4 + [384] * 4
    assert {(layer.kernel_size, layer.stride, layer.padding) for layer in convolutions} == {((3, 3), (1, 1), (1, 1))}


def test_number_of_parameters_follows_from_the_layers(backbone: LSoftmaxVGG) -> None:
    channels = [3] + [96] * 5 + [192] * 4 + [384] * 4
    convolutions = sum(9 * before * after for before, after in pairwise(channels))
    normalizations, slopes = 2 * sum(channels[1:]), len(channels) - 1
    linear = 384 * 4 * 4 * 512
    assert sum(p.numel() for p in backbone.parameters()) == convolutions + normalizations + slopes + linear


@pytest.mark.parametrize("size", [32, 64])
def test_last_stage_is_averaged_to_4x4(backbone: LSoftmaxVGG, size: int) -> None:
    with torch.no_grad():
        maps = backbone.eval().stages(torch.randn(1, 3, size, size))
    assert maps.shape == (1, 384, size // 8, size // 8)
    expected = maps.reshape(1, 384, 4, size // 32, 4, size // 32).mean((3, 5)).flatten(1)
    torch.testing.assert_close(backbone.pool(maps), expected)


def test_training_features_have_mean_0_and_variance_1_over_the_batch(backbone: LSoftmaxVGG) -> None:
    with torch.no_grad():
        features = backbone.train()(torch.randn(16, 3, 8, 8))
    torch.testing.assert_close(features.mean(0), torch.zeros(512), rtol=0, atol=1e-5)
    torch.testing.assert_close(features.var(0, unbiased=False), torch.ones(512), rtol=1e-2, atol=0)


def test_random_weights_have_the_variance_of_kaiming_for_prelu(backbone: LSoftmaxVGG) -> None:
    layer = [layer for layer in backbone.modules() if isinstance(layer, nn.Conv2d)][-1]
    expected = (2 / (1 + 0.25**2) / (384 * 3 * 3)) ** 0.5
    torch.testing.assert_close(layer.weight.std(), torch.tensor(expected), rtol=0.01, atol=0)
