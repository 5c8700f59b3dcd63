import re
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn
from torchvision.models import get_model, get_model_weights

from sbn_lightning.backbones import VGG16, Backbone, DenseNet121, ResNet18, ResNet34, ResNet50, ResNeXt50


def num_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def without_memory(name: str) -> Any:
    """torchvision's whole network, shapes only."""
    with torch.device("meta"):
        return get_model(name)


STEMMED = [  # with a stem for small images; torchvision's name, and of its classifier
    (ResNet18, "resnet18", "fc"),
    (ResNet34, "resnet34", "fc"),
    (ResNet50, "resnet50", "fc"),
    (ResNeXt50, "resnext50_32x4d", "fc"),
    (DenseNet121, "densenet121", "classifier"),
]


@pytest.mark.parametrize(("build", "name", "classifier"), STEMMED)
def test_network_is_torchvisions_without_classifier_and_with_a_3x3_stem(
    build: type[Backbone], name: str, classifier: str
) -> None:
    original = without_memory(name)
    dropped = num_parameters(getattr(original, classifier))
    stem_7x7, stem_3x3 = 64 * 3 * 7 * 7, 64 * 3 * 3 * 3
    with torch.device("meta"):
        backbone = build()
    assert num_parameters(backbone) == num_parameters(original) - dropped - stem_7x7 + stem_3x3


@pytest.mark.parametrize(("build", "name", "classifier"), [STEMMED[0], STEMMED[-1]])
def test_network_with_imagenet_stem_is_torchvisions_without_classifier(
    build: type[ResNet18], name: str, classifier: str
) -> None:
    original = get_model(name)
    setattr(original, classifier, nn.Identity())
    backbone = build(stem="imagenet")
    backbone.network.load_state_dict(original.state_dict())
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(backbone.eval()(images), original.eval()(images), rtol=0, atol=0)


def test_small_stem_keeps_every_pixel() -> None:
    resnet, densenet = ResNet18().network, DenseNet121().network
    images = torch.randn(2, 3, 32, 32)
    stem = nn.Sequential(resnet.conv1, resnet.bn1, resnet.relu, resnet.maxpool)
    assert stem(images).shape == (2, 64, 32, 32)
    assert densenet.features[:4](images).shape == (2, 64, 32, 32)


def test_random_stem_of_a_densenet_has_the_variance_of_kaiming_fan_in() -> None:
    torch.manual_seed(0)
    weight = DenseNet121().network.features.conv0.weight
    torch.testing.assert_close(weight.std(), torch.tensor((2 / (3 * 3 * 3)) ** 0.5), rtol=0.1, atol=0)


def test_smallest_image_of_the_imagenet_stem_is_29() -> None:
    backbone = DenseNet121("imagenet").eval()
    assert backbone.min_image_size == 29  # as torchvision says; 29, 15, 8, and 4, 2, 1 after the blocks
    assert backbone(torch.zeros(1, 3, 29, 29)).shape == (1, 1024)
    with pytest.raises(RuntimeError, match="too small"):
        backbone(torch.zeros(1, 3, 28, 29))


def test_vgg16_is_torchvisions_features_averaged_over_the_image() -> None:
    backbone = VGG16().eval()
    assert num_parameters(backbone) == num_parameters(without_memory("vgg16_bn").features)
    images = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = backbone.features(images)
        assert maps.shape == (1, 512, 2, 2)
        torch.testing.assert_close(backbone(images), maps.flatten(2).mean(2))


@pytest.mark.parametrize("backbone", [ResNet18, VGG16])
def test_random_convolutions_have_the_variance_of_kaiming_fan_out(backbone: type[Backbone]) -> None:
    torch.manual_seed(0)
    convolutions = [module for module in backbone().modules() if isinstance(module, nn.Conv2d)]
    for convolution in (convolutions[0], convolutions[-1]):
        expected = (2 / (convolution.out_channels * 3 * 3)) ** 0.5
        torch.testing.assert_close(convolution.weight.std(), torch.tensor(expected), rtol=0.1, atol=0)


@pytest.mark.parametrize("build", [build for build, *_ in STEMMED])
def test_pretrained_weights_need_the_imagenet_stem(build: type[ResNet18]) -> None:
    with pytest.raises(ValueError, match=r"'IMAGENET1K_V1' were trained with ImageNet's stem.*use stem 'imagenet'"):
        build(weights="IMAGENET1K_V1")


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("resnet18", partial(ResNet18, "imagenet")),
        ("resnext50_32x4d", partial(ResNeXt50, "imagenet")),
        ("densenet121", partial(DenseNet121, "imagenet")),
        ("vgg16_bn", VGG16),
    ],
)
def test_pretrained_weights_are_those_that_torchvision_downloads(
    name: str, build: Callable[..., Backbone], monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = {key: value.shape for key, value in without_memory(name).state_dict().items()}
    if name == "densenet121":  # whose file is older than these names and than a count of batches
        shapes = {re.sub(r"(denselayer\d+\.\w+)([12])", r"\1.\2", key): shape for key, shape in shapes.items()}
        shapes = {key: shape for key, shape in shapes.items() if "num_batches_tracked" not in key}
        assert "features.denseblock4.denselayer16.norm.2.running_var" in shapes
    zeros = {key: torch.zeros(()).expand(shape) for key, shape in shapes.items()}
    monkeypatch.setattr(get_model_weights(name), "get_state_dict", lambda weights, **options: zeros)
    backbone = build(weights="IMAGENET1K_V1", download=True)
    assert all((value == 0).all() for value in backbone.state_dict().values())
    assert backbone.normalization == ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])  # ImageNet's


def test_unknown_stem_is_refused() -> None:
    with pytest.raises(ValueError, match="stem 'large' is not known; use 'small' or 'imagenet'"):
        ResNet18(stem="large")  # type: ignore[arg-type]


def test_vgg16_refuses_images_that_it_would_halve_to_nothing() -> None:
    with pytest.raises(ValueError, match="28×64 is too small; use 32×32 or more"):
        VGG16()(torch.zeros(1, 3, 28, 64))
