"""The ResNeXt that its authors built for CIFAR."""

import torch.nn.functional as F
from torch import Tensor, nn

from sbn_lightning.backbones.base import Backbone


class ResNeXt29(Backbone):
    """A 3×3 convolution, then three stages of three residual blocks with grouped convolutions, D = 1024.

    The stages work on maps of 32×32, 16×16 and 8×8 for a 32×32 image, and give 256, 512 and 1024 channels; global
    average pooling follows. A block adds to its input what three convolutions make of it: 1×1; 3×3, in `cardinality`
    groups of channels, each computed from its own group only; and 1×1. The default is ResNeXt-29, 8×64d, with 34.4
    million parameters; the authors' larger one, 16×64d, has 68 million. Any image size works.

    Source: Xie et al. 2017, "Aggregated Residual Transformations for Deep Neural Networks", arXiv 1611.05431, section
    5.3 and appendix A; the random weights are those of the authors' code.

    Args:
        cardinality: Number of groups, >= 1.
        width: Channels of a group in the first stage, >= 1. Each later stage has twice as many as the one before.
    """

    def __init__(self, cardinality: int = 8, width: int = 64) -> None:
        super().__init__()
        for name, value in {"cardinality": cardinality, "width": width}.items():
            if value < 1:
                raise ValueError(f"{name} {value} must be at least 1")
        self.stem = nn.Sequential(*_convolution(3, 64, kernel_size=3), nn.ReLU(inplace=True))
        self.stages = nn.Sequential(
            _stage(64, 256, cardinality, width, stride=1),
            _stage(256, 512, cardinality, 2 * width, stride=2),
            _stage(512, 1024, cardinality, 4 * width, stride=2),
        )
        self.num_features = 1024
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 1024)."""
        return self.stages(self.stem(images)).mean((2, 3))


class _Block(nn.Module):
    """y = ReLU(x + residual(x)), with a 1×1 convolution of x instead of x where the shapes differ."""

    def __init__(self, in_channels: int, out_channels: int, cardinality: int, width: int, stride: int) -> None:
        super().__init__()
        grouped = cardinality * width
        self.residual = nn.Sequential(
            *_convolution(in_channels, grouped, kernel_size=1),
            nn.ReLU(inplace=True),
            *_convolution(grouped, grouped, kernel_size=3, stride=stride, groups=cardinality),
            nn.ReLU(inplace=True),
            *_convolution(grouped, out_channels, kernel_size=1),
        )
        is_same_shape = in_channels == out_channels and stride == 1
        shortcut = [] if is_same_shape else _convolution(in_channels, out_channels, kernel_size=1, stride=stride)
        self.shortcut = nn.Sequential(*shortcut)

    def forward(self, maps: Tensor) -> Tensor:
        """(N, in_channels, H, W) -> (N, out_channels, H / stride, W / stride), rounded up."""
        return F.relu(self.shortcut(maps) + self.residual(maps))


def _stage(in_channels: int, out_channels: int, cardinality: int, width: int, stride: int) -> nn.Sequential:
    """Three blocks, the first of which changes the number of channels and, with stride 2, halves the image."""
    return nn.Sequential(
        _Block(in_channels, out_channels, cardinality, width, stride),
        _Block(out_channels, out_channels, cardinality, width, stride=1),
        _Block(out_channels, out_channels, cardinality, width, stride=1),
    )


def _convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """A convolution without bias, which keeps the image's size if the stride is 1, and batch normalization."""
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    ]
