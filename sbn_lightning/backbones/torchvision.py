"""torchvision's networks as backbones: the classifier removed, and a stem for small images."""

import re
from typing import ClassVar, Literal

from torch import Tensor, nn
from torchvision.models import get_model

from sbn_lightning.backbones.base import Backbone
from sbn_lightning.backbones.pretrained import normalization_of, pretrained_state


class _ResNet(Backbone):
    """torchvision's ResNet without its classifier.

    Source: He et al. 2016, "Deep Residual Learning for Image Recognition"; torchvision's implementation.

    Args:
        stem: "small" starts with a 3×3 stride-1 convolution and no max-pool, for images of about 32×32 or 64×64;
            "imagenet" keeps the 7×7 stride-2 convolution and the max-pool, for images of about 224×224.
        weights: torchvision's name of pretrained weights, e.g. "IMAGENET1K_V1"; None for random ones.
        download: Whether the weights may be downloaded if they are not yet on this machine.

    Raises:
        ValueError: If stem or weights is unknown, weights are asked for with the small stem, or they are not on this
            machine and may not or cannot be downloaded.
    """

    name: ClassVar[str]  # as torchvision calls it

    def __init__(
        self, stem: Literal["small", "imagenet"] = "small", weights: str | None = None, download: bool = False
    ) -> None:
        super().__init__()
        _check_stem(stem, weights)
        pretrained = pretrained_state(self.name, weights, download)
        self.network = get_model(self.name)
        if pretrained is not None:
            self.network.load_state_dict(pretrained)
            self.normalization = normalization_of(self.name, weights)
        self.num_features = self.network.fc.in_features
        self.network.fc = nn.Identity()
        if stem == "small":
            self.network.conv1 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
            _init_convolution(self.network.conv1)
            self.network.maxpool = nn.Identity()

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images)


class ResNet18(_ResNet):
    """ResNet-18, D = 512."""

    name = "resnet18"


class ResNet34(_ResNet):
    """ResNet-34, D = 512."""

    name = "resnet34"


class ResNet50(_ResNet):
    """ResNet-50, D = 2048."""

    name = "resnet50"


class ResNeXt50(_ResNet):
    """ResNeXt-50 (32×4d), D = 2048.

    Source: Xie et al. 2017, "Aggregated Residual Transformations for Deep Neural Networks"; torchvision's code.
    """

    name = "resnext50_32x4d"


class DenseNet121(Backbone):
    """torchvision's DenseNet-121 without its classifier, D = 1024.

    Source: Huang et al. 2017, "Densely Connected Convolutional Networks"; torchvision's implementation.

    Args:
        stem: "small" starts with a 3×3 stride-1 convolution and no max-pool, for images of about 32×32 or 64×64;
            "imagenet" keeps the 7×7 stride-2 convolution and the max-pool, for images of about 224×224.
        weights: torchvision's name of pretrained weights, e.g. "IMAGENET1K_V1"; None for random ones.
        download: Whether the weights may be downloaded if they are not yet on this machine.

    Raises:
        ValueError: If stem or weights is unknown, weights are asked for with the small stem, or they are not on this
            machine and may not or cannot be downloaded.
    """

    min_image_size = 8  # halved 3 times

    def __init__(
        self, stem: Literal["small", "imagenet"] = "small", weights: str | None = None, download: bool = False
    ) -> None:
        super().__init__()
        _check_stem(stem, weights)
        pretrained = pretrained_state("densenet121", weights, download)
        self.network = get_model("densenet121")
        if pretrained is not None:
            # In the file, the layers' parts have older names: denselayer1.norm.1 is denselayer1.norm1 today.
            renamed = {re.sub(r"\.(norm|conv)\.([12])\.", r".\1\2.", key): value for key, value in pretrained.items()}
            self.network.load_state_dict(renamed)
            self.normalization = normalization_of("densenet121", weights)
        self.num_features = self.network.classifier.in_features
        self.network.classifier = nn.Identity()
        if stem == "small":
            self.network.features.conv0 = nn.Conv2d(3, 64, kernel_size=3, padding=1, bias=False)
            nn.init.kaiming_normal_(self.network.features.conv0.weight)  # as torchvision does for DenseNet
            self.network.features.pool0 = nn.Identity()
        else:
            self.min_image_size = 29  # the stem halves it twice more, rounded up

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1024); H, W >= 8, or 29 with stem "imagenet"."""
        return self.network(images)


class VGG16(Backbone):
    """VGG-16's convolutions with batch normalization, then global average pooling, D = 512.

    Paper: fully connected layers follow; here: pooling, because they fit 224×224 images and hold 9 in 10 parameters.
    Source: Simonyan & Zisserman 2015, configuration D; torchvision's implementation.

    Args:
        weights: torchvision's name of pretrained weights; None for random ones.
        download: Whether the weights may be downloaded if they are not yet on this machine.

    Raises:
        ValueError: If weights is unknown, or not on this machine and may not or cannot be downloaded; or if images are
            smaller than 32×32.
    """

    min_image_size = 32  # halved 5 times

    def __init__(self, weights: str | None = None, download: bool = False) -> None:
        super().__init__()
        pretrained = pretrained_state("vgg16_bn", weights, download)
        # Its own initialization takes seconds for the classifier, which is thrown away.
        network = get_model("vgg16_bn", init_weights=False)
        self.features = network.features
        if pretrained is not None:
            network.load_state_dict(pretrained)
            self.normalization = normalization_of("vgg16_bn", weights)
        else:
            for module in self.features:
                if isinstance(module, nn.Conv2d):
                    _init_convolution(module)
        self.num_features = 512

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 512); H, W >= 32."""
        height, width = images.shape[-2:]
        if min(height, width) < self.min_image_size:
            size = f"{height}×{width}"
            raise ValueError(f"VGG16 halves images 5 times: {size} is too small; use 32×32 or more, or SmallCNN")
        return self.features(images).mean((2, 3))


def _check_stem(stem: str, weights: str | None) -> None:
    if stem not in ("small", "imagenet"):
        raise ValueError(f"stem {stem!r} is not known; use 'small' or 'imagenet'")
    if weights is not None and stem == "small":
        raise ValueError(
            f"weights {weights!r} were trained with ImageNet's stem, so stem 'small' would throw the first layer "
            "away; use stem 'imagenet' with them, or weights null"
        )


def _init_convolution(convolution: nn.Conv2d) -> None:
    """Draw weights as torchvision does for ResNet and VGG."""
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
