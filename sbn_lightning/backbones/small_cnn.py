"""A small network for quick runs on a CPU."""

import torch
from torch import Tensor, nn

from sbn_lightning.backbones.base import Backbone


class SmallCNN(Backbone):
    """Five 3×3 convolutions with batch normalization and ReLU, then global average pooling, D = 4 · width.

    Channels are width, 2 · width and three times 4 · width; a 2×2 max-pool follows each of the first three
    convolutions, so that the wide ones work on few pixels. Any image size works: the pools keep an odd last row and
    column.

    Args:
        width: Channels of the first convolution, >= 1.
    """

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        if width < 1:
            raise ValueError(f"width {width} must be at least 1")
        self.num_features = 4 * width
        self.layers = nn.Sequential(
            *_convolution(3, width),
            nn.MaxPool2d(2, ceil_mode=True),
            *_convolution(width, 2 * width),
            nn.MaxPool2d(2, ceil_mode=True),
            *_convolution(2 * width, 4 * width),
            nn.MaxPool2d(2, ceil_mode=True),
            *_convolution(4 * width, 4 * width),
            *_convolution(4 * width, 4 * width),
        )
        self.to(memory_format=torch.channels_last)  # 1.3× as fast as contiguous on a CPU

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 4 · width)."""
        return self.layers(images).mean((2, 3))


def _convolution(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [
        nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1, bias=False),
        nn.BatchNorm2d(out_channels),
        nn.ReLU(inplace=True),
    ]
