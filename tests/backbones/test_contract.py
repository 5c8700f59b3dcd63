"""What every backbone promises: images (N, 3, H, W) -> features (N, num_features)."""

from collections.abc import Callable

import pytest
import torch

from sbn_lightning import backbones
from sbn_lightning.backbones import (
    VGG16,
    Backbone,
    DenseNet121,
    DenseNetBC,
    LSoftmaxVGG,
    ResNet18,
    ResNet34,
    ResNet50,
    ResNeXt29,
    ResNeXt50,
    SmallCNN,
)

BACKBONES = [  # a new file in backbones/ is found
    kind
    for kind in vars(backbones).values()
    if isinstance(kind, type) and issubclass(kind, Backbone) and kind is not Backbone
]


@pytest.fixture(scope="module", params=BACKBONES, ids=lambda backbone: backbone.__name__)
def backbone(request: pytest.FixtureRequest) -> Backbone:
    torch.manual_seed(0)
    return request.param()


@pytest.mark.parametrize("size", [32, 64])
def test_one_image_in_evaluation_gives_one_feature_vector(backbone: Backbone, size: int) -> None:
    images = torch.randn(1, 3, size, size)
    with torch.no_grad():
        features = backbone.eval()(images)
    assert features.shape == (1, backbone.num_features)
    assert features.dtype == torch.float32
    assert features.isfinite().all()


def test_features_of_an_image_do_not_depend_on_its_batch_in_evaluation(backbone: Backbone) -> None:
    images = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        together, alone = backbone.eval()(images), backbone(images[:1])
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-4)


def test_every_parameter_gets_a_finite_gradient_that_is_not_zero(backbone: Backbone) -> None:
    backbone.train().zero_grad()
    (backbone(torch.randn(2, 3, 32, 32)) * torch.randn(2, backbone.num_features)).sum().backward()
    for name, parameter in backbone.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_images_are_not_changed(backbone: Backbone) -> None:
    images = torch.randn(2, 3, 32, 32)
    before = images.clone()
    with torch.no_grad():
        backbone.train()(images)
    torch.testing.assert_close(images, before, rtol=0, atol=0)


def test_state_dict_carries_everything(backbone: Backbone) -> None:
    copy = type(backbone)()
    copy.load_state_dict(backbone.state_dict())
    images = torch.randn(1, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(copy.eval()(images), backbone.eval()(images), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("build", "num_features"),
    [
        (SmallCNN, 128),
        (lambda: SmallCNN(width=8), 32),
        (LSoftmaxVGG, 512),
        (ResNet18, 512),
        (ResNet34, 512),
        (ResNet50, 2048),
        (ResNeXt50, 2048),
        (ResNeXt29, 1024),
        (DenseNet121, 1024),
        (DenseNetBC, 342),
        (VGG16, 512),
    ],
    ids=[
        "SmallCNN",
        "SmallCNN(8)",
        "LSoftmaxVGG",
        "ResNet18",
        "ResNet34",
        "ResNet50",
        "ResNeXt50",
        "ResNeXt29",
        "DenseNet121",
        "DenseNetBC",
        "VGG16",
    ],
)
def test_num_features_is_the_one_documented(build: Callable[[], Backbone], num_features: int) -> None:
    assert build().num_features == num_features


def test_backbone_without_forward_cannot_be_built() -> None:
    class Empty(Backbone):
        pass

    with pytest.raises(TypeError, match=r"abstract class Empty .*forward"):
        Empty()  # type: ignore[abstract]


@pytest.mark.parametrize("kind", [VGG16, LSoftmaxVGG, DenseNet121, DenseNetBC])
def test_smallest_images_give_features_and_smaller_ones_do_not(kind: type[Backbone]) -> None:
    backbone, size = kind().eval(), kind.min_image_size
    assert backbone(torch.zeros(1, 3, size, size)).shape == (1, backbone.num_features)
    with pytest.raises((ValueError, RuntimeError), match="too small"):
        backbone(torch.zeros(1, 3, size - 1, size))
