"""The DenseNet that its authors built for CIFAR."""

import torch
from torch import Tensor, nn

from sbn_lightning.backbones.base import Backbone


class DenseNetBC(Backbone):
    """Three blocks of densely connected layers: each layer sees the maps of all layers before it, and adds new ones.

    A 3×3 convolution gives 2 · growth_rate channels. The blocks work on maps of 32×32, 16×16 and 8×8 for a 32×32 image.
    Each has (depth - 4) / 6 layers, and each layer two convolutions. Between blocks, a transition halves the number of
    channels and the image. At the end come batch normalization, ReLU and global average pooling. The default is
    DenseNet-BC-100 with k = 12: D = 342 and 0.8 million parameters. The authors' largest one, of depth 190 and growth
    rate 40, has 25.6 million.

    Source: Huang et al. 2017, "Densely Connected Convolutional Networks", arXiv 1608.06993, section 3; the ReLU in the
    transitions and the random weights are those of the authors' code. Paper: dropout, if images are not augmented;
    here: none, because they are.

    Args:
        depth: Number of layers with weights, 6 n + 4, such as 40, 100, 190 or 250. The classifier counts as one.
        growth_rate: Channels that each layer adds, the paper's k, >= 1.
    """

    min_image_size = 4  # halved twice

    def __init__(self, depth: int = 100, growth_rate: int = 12) -> None:
        super().__init__()
        if depth < 10 or depth % 6 != 4:
            raise ValueError(f"depth {depth} must be 6 n + 4, at least 10: use 40, 100, 190 or 250, for example")
        if growth_rate < 1:
            raise ValueError(f"growth_rate {growth_rate} must be at least 1")
        num_layers = (depth - 4) // 6
        channels = 2 * growth_rate
        self.stem = nn.Conv2d(3, channels, kernel_size=3, padding=1, bias=False)
        self.stages = nn.Sequential(_block(channels, num_layers, growth_rate))
        for _ in range(2):
            channels += num_layers * growth_rate
            self.stages.append(nn.Sequential(_transition(channels), _block(channels // 2, num_layers, growth_rate)))
            channels //= 2
        self.num_features = channels + num_layers * growth_rate
        self.last = nn.Sequential(nn.BatchNorm2d(self.num_features), nn.ReLU(inplace=True))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, D); H, W >= 4."""
        return self.last(self.stages(self.stem(images))).mean((2, 3))


class _Layer(nn.Module):
    """The maps so far, and growth_rate new ones that are computed from all of them, through 4 · growth_rate maps."""

    def __init__(self, channels: int, growth_rate: int) -> None:
        super().__init__()
        self.new = nn.Sequential(
            *_convolution(channels, 4 * growth_rate, kernel_size=1),
            *_convolution(4 * growth_rate, growth_rate, kernel_size=3),
        )

    def forward(self, maps: Tensor) -> Tensor:
        """(N, channels, H, W) -> (N, channels + growth_rate, H, W)."""
        return torch.cat([maps, self.new(maps)], dim=1)


def _block(channels: int, num_layers: int, growth_rate: int) -> nn.Sequential:
    """(N, channels, H, W) -> (N, channels + num_layers * growth_rate, H, W)."""
    return nn.Sequential(*[_Layer(channels + layer * growth_rate, growth_rate) for layer in range(num_layers)])


def _transition(channels: int) -> nn.Sequential:
    """(N, channels, H, W) -> (N, channels // 2, H // 2, W // 2)."""
    return nn.Sequential(*_convolution(channels, channels // 2, kernel_size=1), nn.AvgPool2d(2))


def _convolution(in_channels: int, out_channels: int, kernel_size: int) -> list[nn.Module]:
    """In the order of this paper: batch normalization and ReLU come before the convolution."""
    return [
        nn.BatchNorm2d(in_channels),
        nn.ReLU(inplace=True),
        nn.Conv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False),
    ]
