"""What tests of the data share: opening a dataset, and a model that keeps what it receives."""

import os
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from sbn_lightning.data import ImageDataModule
from sbn_lightning.data.store import open_store

Data = TypeVar("Data", bound=ImageDataModule)


def ready(data: Data) -> Data:
    """The dataset, packed and opened."""
    data.prepare_data()
    data.setup("fit")
    return data


def split(data: ImageDataModule, name: str) -> tuple[Tensor, Tensor]:
    """Images and labels of a packed split."""
    store = open_store(data.store)
    return store.images[store.splits[name]], store.labels[store.splits[name]]


def names(folder: Path) -> list[str]:
    """The file names of all images of a store."""
    return [os.fsdecode(name) for name in np.load(folder / "names.npy")]


class Recorder(LightningModule):
    """Keeps stage, images and labels of all batches as a step receives them; its only weight does not move."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.batches: list[tuple[str, Tensor, Tensor]] = []

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        self._keep("train", batch)
        return 0 * self.weight

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._keep("val", batch)

    def test_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._keep("test", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def _keep(self, stage: str, batch: tuple[Tensor, Tensor]) -> None:
        images, labels = batch
        self.batches.append((stage, images.cpu(), labels.cpu()))


def quiet_trainer(**settings: Any) -> Trainer:
    """Trains for 2 epochs on the CPU, and writes and prints nothing."""
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    usual = {"accelerator": "cpu", "devices": 1, "max_epochs": 2, "num_sanity_val_steps": 0} | quiet
    return Trainer(enable_model_summary=False, **usual | settings)
