"""Classes as a user would write them, for tests that name them by import path."""

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from sbn_lightning import Backbone, Head


class PlainCNN(Backbone):
    """Two convolutions without batch normalization, the same function for one process and for several.

    Without ReLU too: where a background pixel's activation lies at the kink, rounding decides on the gradient.
    """

    def __init__(self, num_features: int = 16) -> None:
        super().__init__()
        self.num_features = num_features
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, num_features, 3, padding=1, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        return F.silu(self.conv2(F.silu(self.conv1(images)))).mean((2, 3))


class CosineHead(Head):
    """The least that a head must define."""

    def __init__(self, num_features: int, num_classes: int, scale: float = 16.0) -> None:
        super().__init__(num_features, num_classes)
        self.scale = scale
        self.linear = nn.Linear(num_features, num_classes, bias=False)

    @property
    def class_weight(self) -> Tensor:
        return self.linear.weight

    def embed(self, features: Tensor) -> Tensor:
        return F.normalize(features)

    def forward(self, features: Tensor) -> Tensor:
        return self.scale * F.linear(self.embed(features), F.normalize(self.linear.weight))

    def as_linear(self) -> nn.Linear:
        linear = nn.Linear(self.num_features, self.num_classes, bias=False)
        linear.weight.data = self.scale * F.normalize(self.linear.weight.detach())
        return linear


class BrokenHead(CosineHead):
    """Has a bug."""

    def forward(self, features: Tensor) -> Tensor:
        raise ValueError("a bug in the user's own head")


class NaNOnSecondProcess(CosineHead):
    """Its third loss is NaN on the second process only."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.calls = 0

    def loss(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        self.calls += self.training
        bad = self.calls == 3 and torch.distributed.get_rank() == 1
        return super().loss(logits, labels, features) * (torch.nan if bad else 1)


class NaNWeights(Callback):
    """Makes a weight NaN at the start of each epoch."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.head.class_weight.data.view(-1)[0] = torch.nan
