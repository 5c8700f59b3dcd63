"""A tiny classifier and its data, and the means to fit it and to read back what was written."""

from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from sbn_lightning import Backbone, Classifier, SoftmaxHead

NUM_FEATURES = 4
NUM_CLASSES = 3


class TinyBackbone(Backbone):
    """Images are vectors here."""

    def __init__(self) -> None:
        super().__init__()
        self.num_features = NUM_FEATURES
        self.layers = nn.Sequential(nn.Linear(NUM_FEATURES, NUM_FEATURES), nn.ReLU())

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images)


class TinyHead(SoftmaxHead):
    """Logits twice as large as its linear layer's: its effective weights are 2w."""

    title = ""

    def as_linear(self) -> nn.Linear:
        linear = super().as_linear()
        for parameter in linear.parameters():
            parameter.data.mul_(2)
        return linear

    def forward(self, features: Tensor) -> Tensor:
        return 2 * super().forward(features)


class TinyClassifier(Classifier):
    """Equal weights in every instance; it takes vectors as they are."""

    def __init__(self, lr: float = 0.5) -> None:
        torch.manual_seed(0)
        super().__init__(TinyBackbone(), TinyHead, NUM_CLASSES)
        self.normalization = nn.Identity()
        self.lr = lr

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=self.lr)


class Batches:
    """A loader of given (images, labels) batches; each process takes every k-th."""

    def __init__(self, batches: list[tuple[Tensor, Tensor]], rank: int, num_processes: int) -> None:
        self.batches = batches[rank::num_processes]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)


class TinyData(LightningDataModule):
    """4 training batches and 3 validation batches, not all of one size."""

    class_names = ("apple", "bear", "cat")

    def __init__(self) -> None:
        super().__init__()
        self.train_batches = random_batches([8, 5, 8, 8], seed=1)
        self.val_batches = random_batches([8, 8, 5], seed=2)

    def train_dataloader(self) -> Batches:
        return Batches(self.train_batches, self.trainer.global_rank, self.trainer.world_size)

    def val_dataloader(self) -> Batches:
        return Batches(self.val_batches, self.trainer.global_rank, self.trainer.world_size)


def random_batches(sizes: list[int], seed: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    images = [2 * torch.randn(size, NUM_FEATURES, generator=generator) for size in sizes]
    labels = [torch.randint(NUM_CLASSES, (size,), generator=generator) for size in sizes]
    return list(zip(images, labels, strict=True))


class Recorder(Callback):
    """Keeps the steps' outputs, and the head's gradient norm, for tests to derive their expected values from."""

    def __init__(self) -> None:
        self.train: list[tuple[Tensor, Tensor]] = []  # (logits, labels), one for each step
        self.val: defaultdict[int, list[tuple[Tensor, Tensor]]] = defaultdict(list)  # one list for each epoch
        self.head_gradient_norm: list[float] = []  # one for each step

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        gradients = [parameter.grad.flatten() for parameter in pl_module.head.parameters()]
        self.head_gradient_norm.append(torch.cat(gradients).norm().item())

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any) -> None:
        self.train.append((outputs["logits"], outputs["labels"]))

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any) -> None:
        if not trainer.sanity_checking:
            self.val[trainer.current_epoch].append((outputs["logits"], outputs["labels"]))


def make_trainer(folder: Path, callbacks: list[Callback], **settings: Any) -> Trainer:
    defaults = {
        "accelerator": "cpu", "devices": 1, "max_epochs": 2, "log_every_n_steps": 2, "default_root_dir": folder,
        "logger": TensorBoardLogger(folder, name="", version=""),
        "enable_progress_bar": False, "enable_model_summary": False, "enable_checkpointing": False,
    }  # fmt: skip
    return Trainer(callbacks=callbacks, **(defaults | settings))


def read_events(folder: Path) -> EventAccumulator:
    everything = {"scalars": 0, "histograms": 0, "images": 0, "tensors": 0}
    events = EventAccumulator(str(folder), size_guidance=everything)
    events.Reload()
    return events


@pytest.fixture
def fit(tmp_path: Path) -> Callable[..., EventAccumulator]:
    """fit(*callbacks, model=…, data=…, **trainer's settings): a real run; gives what TensorBoard reads from it."""

    def run(
        *callbacks: Callback, model: LightningModule | None = None, data: TinyData | None = None, **settings: Any
    ) -> EventAccumulator:
        trainer = make_trainer(tmp_path, list(callbacks), **settings)
        trainer.fit(model or TinyClassifier(), datamodule=data or TinyData())
        return read_events(tmp_path)

    return run


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def classifier() -> TinyClassifier:
    return TinyClassifier()


@pytest.fixture
def data() -> TinyData:
    return TinyData()
