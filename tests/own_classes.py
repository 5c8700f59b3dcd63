"""Classes as a user would write them, for tests that name them by import path."""

import os
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from sbn_lightning import Backbone, Digits, Head, ImageFolder
from sbn_lightning.data.pack import Contents, NewStore


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


class OddDigits(Digits):
    """359 test images: a prime number, which no number of processes divides."""

    @property
    def store_name(self) -> str:
        return "odd_digits"

    def decode(self, new: NewStore) -> Contents:
        contents = super().decode(new)
        return replace(contents, splits={**contents.splits, "test": contents.splits["test"][:359]})


class DropoutCNN(Backbone):
    """Batch normalization and dropout: what a step gives depends on running statistics and on random numbers."""

    def __init__(self, num_features: int = 8) -> None:
        super().__init__()
        self.num_features = num_features
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.dropout = nn.Dropout(0.3)
        self.conv2 = nn.Conv2d(8, num_features, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        return self.conv2(self.dropout(F.relu(self.norm(self.conv1(images))))).mean((2, 3))


class InterruptionError(Exception):
    """As if the process had been killed: nothing of this program catches it."""


class Interrupt(Callback):
    """Ends a training at a step, or sends its process a signal there.

    Args:
        step: Number of the optimizer step, from 1.
        signal: Sent to the own process; 0 raises InterruptionError instead.
        hook: Where in the step: `on_train_batch_end`, `on_validation_batch_end` (of the second batch), `on_fit_start`.
        rank: Of the process that is meant; -1 for every one.
    """

    def __init__(self, step: int = 0, signal: int = 0, hook: str = "on_train_batch_end", rank: int = -1) -> None:
        self.step = step
        self.signal = signal
        self.hook = hook
        self.rank = rank

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self._at("on_train_batch_end", trainer)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int, *args: Any
    ) -> None:
        if batch_idx == 1 and not trainer.sanity_checking:
            self._at("on_validation_batch_end", trainer)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._at("on_fit_start", trainer)

    def _at(self, hook: str, trainer: Trainer) -> None:
        if (hook, trainer.global_step) == (self.hook, self.step) and self.rank in (-1, trainer.global_rank):
            if not self.signal:
                raise InterruptionError
            os.kill(os.getpid(), self.signal)


class StopAt(Callback):
    """Asks the training to end in the middle of an epoch, as a time limit does.

    Args:
        batch: Number of the training batch, from 1, over all epochs.
    """

    def __init__(self, batch: int) -> None:
        self.batches_left = batch

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.batches_left -= 1
        trainer.should_stop = trainer.should_stop or self.batches_left == 0


class LogsOwnMetric(Callback):
    """Logs a metric that this package does not know."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("own/metric", 1.0)


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


class Photos16(ImageFolder):
    """Another kind of data, of another size."""

    def __init__(self, *, seed: int = 0, **options: Any) -> None:
        super().__init__(image_size=16, seed=seed, **options)
