from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sbn_lightning.backbones import ResNeXt29

CHANNELS = [256, 512, 1024]  # of the three stages


@pytest.fixture
def thin() -> ResNeXt29:
    torch.manual_seed(0)
    return ResNeXt29(cardinality=2, width=4)


def num_parameters(cardinality: int, width: int) -> int:
    """As the paper describes the network, without its classifier."""
    total, before = 3 * 9 * 64 + 2 * 64, 64
    for stage, channels in enumerate(CHANNELS):
        group = 2**stage * width
        grouped = cardinality * group
        for block in range(3):
            total += before * grouped + 9 * group * grouped + grouped * channels
            total += 2 * (grouped + grouped + channels)  # scale and shift of the normalizations
            if block == 0:
                total += before * channels + 2 * channels  # where the shape changes, a convolution is the shortcut
            before = channels
    return total


@pytest.mark.parametrize(("cardinality", "width", "millions"), [(8, 64, 34.4), (16, 64, 68.1)])
def test_number_of_parameters_is_that_of_the_paper(cardinality: int, width: int, millions: float) -> None:
    with torch.device("meta"):
        backbone = ResNeXt29(cardinality, width)
    found = sum(parameter.numel() for parameter in backbone.parameters())
    assert found == num_parameters(cardinality, width)
    with_classifier = found + (1024 + 1) * 10  # for CIFAR-10
    assert millions <= with_classifier / 1e6 < millions + 0.1  # Table 7, which cuts 68.16 to 68.1


def test_depth_is_29_with_the_classifier(thin: ResNeXt29) -> None:
    layers = [name for name, module in thin.named_modules() if isinstance(module, nn.Conv2d) and "shortcut" not in name]
    assert len(layers) + 1 == 29


@pytest.mark.parametrize("side", [1, 31, 32, 64])
def test_stages_double_the_channels_and_halve_the_image(thin: ResNeXt29, side: int) -> None:
    maps, expected = thin.eval().stem(torch.randn(1, 3, side, side)), side
    assert maps.shape == (1, 64, side, side)
    for stage, channels in zip(thin.stages, CHANNELS, strict=True):
        maps = stage(maps)
        assert maps.shape == (1, channels, expected, expected)
        expected = (expected + 1) // 2


def test_block_adds_the_paths_of_all_groups_to_its_input(thin: ResNeXt29) -> None:
    """Figure 3: grouped convolutions (c) compute what separate paths (a) do."""
    block: Any = thin.stages[2][1]
    first, norm1, _, grouped, norm2, _, last, norm3 = block.residual
    width = grouped.weight.shape[1]
    assert (grouped.groups, width) == (2, 16)

    def normalized(maps: Tensor, norm: Any, channels: slice) -> Tensor:
        return F.batch_norm(
            maps, norm.running_mean[channels], norm.running_var[channels], norm.weight[channels], norm.bias[channels]
        )

    def path(maps: Tensor, channels: slice) -> Tensor:
        maps = F.relu(normalized(F.conv2d(maps, first.weight[channels]), norm1, channels))
        maps = F.relu(normalized(F.conv2d(maps, grouped.weight[channels], padding=1), norm2, channels))
        return F.conv2d(maps, last.weight[:, channels])

    for norm in (norm1, norm2, norm3):
        norm.running_mean.uniform_(-1, 1)
        norm.running_var.uniform_(0.5, 2)
    maps = torch.randn(2, 1024, 4, 4)
    paths = path(maps, slice(0, width)) + path(maps, slice(width, 2 * width))
    expected = F.relu(maps + normalized(paths, norm3, slice(None)))
    torch.testing.assert_close(block.eval()(maps), expected, rtol=1e-4, atol=1e-4)


def test_features_are_the_last_stages_mean_over_the_image(thin: ResNeXt29) -> None:
    images = torch.randn(2, 3, 12, 12)
    with torch.no_grad():
        maps = thin.eval().stages(thin.stem(images))
        torch.testing.assert_close(thin(images), maps.flatten(2).mean(2))


def test_random_convolutions_have_the_variance_of_the_authors_code(thin: ResNeXt29) -> None:
    for convolution in thin.modules():
        if isinstance(convolution, nn.Conv2d) and convolution.weight.numel() > 10_000:
            expected = (2 / (convolution.kernel_size[0] ** 2 * convolution.out_channels)) ** 0.5
            torch.testing.assert_close(convolution.weight.std(), torch.tensor(expected), rtol=0.05, atol=0)


@pytest.mark.parametrize("name", ["cardinality", "width"])
def test_number_below_1_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} 0 must be at least 1"):
        ResNeXt29(**{name: 0})
