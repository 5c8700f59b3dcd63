"""The VGG-style network that the paper's authors took from L-Softmax."""

from torch import Tensor, nn

from sbn_lightning.backbones.base import Backbone


class LSoftmaxVGG(Backbone):
    """Thirteen 3×3 convolutions in three stages, then a linear layer, D = 512.

    Stages of 1 + 4, 4 and 4 convolutions with 96, 192 and 384 channels, each convolution followed by batch
    normalization and PReLU, each stage by a 2×2 max-pool; average pooling to 4×4 (what a 32×32 image has anyway); a
    linear layer and batch normalization, without bias, scale or activation: features are centred and may be negative.

    Source: Liu et al. 2016, "Large-Margin Softmax Loss for Convolutional Neural Networks", Table 1, CIFAR100 (its first
    convolution, conv0.x, stands apart: the 1 in 1 + 4); the last normalization is from the code for PEDCC-Loss (Zhu et
    al.). There: convolutions with a bias; here: without, because the normalization behind it takes it away.

    Raises:
        ValueError: If a training batch holds one image.
    """

    min_image_size = 8  # halved 3 times

    def __init__(self) -> None:
        super().__init__()
        self.num_features = 512
        self.stages = nn.Sequential(_stage(3, 96, 1 + 4), _stage(96, 192, 4), _stage(192, 384, 4))
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten())
        self.embed = nn.Sequential(
            nn.Linear(384 * 4 * 4, self.num_features, bias=False), nn.BatchNorm1d(self.num_features, affine=False)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, a=0.25)  # PReLU's slope at the start

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 512); H, W >= 8, and N >= 2 in training."""
        return self.embed(self.pool(self.stages(images)))


def _stage(in_channels: int, out_channels: int, depth: int) -> nn.Sequential:
    """`depth` convolutions, then a max-pool: (N, in_channels, H, W) -> (N, out_channels, H // 2, W // 2)."""
    layers: list[nn.Module] = []
    for channels in [in_channels] + [out_channels] * (depth - 1):
        layers += [
            nn.Conv2d(channels, out_channels, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.PReLU(),
        ]
    return nn.Sequential(*layers, nn.MaxPool2d(2))
