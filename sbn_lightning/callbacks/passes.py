"""Passes over images: epochs of training, and evaluations."""

import time
from dataclasses import dataclass, field

from lightning.pytorch import Trainer

from sbn_lightning.callbacks.pace import epochs_in_all

SPLITS = {"val": "val", "test_each_epoch": "test"}
"""The split that a validation sees, by its stage."""
NAMES = {"val": "Validation", "test": "Test"}
"""What a validation is called, by the split."""


@dataclass
class Pass:
    """A pass over images: an epoch of training, or an evaluation.

    Attributes:
        name: What it is.
        batches: How many there are.
        batch_size: Images in each of them but the last, on all devices.
        images: In all of them.
        done: The batches that have been seen.
        started, updated: When it started, and when the last batch ended, in seconds of time.monotonic.
    """

    name: str = ""
    batches: int = 1
    batch_size: int = 1
    images: int = 1
    done: int = 0
    started: float = field(default_factory=time.monotonic)
    updated: float = field(default_factory=time.monotonic)

    def batch_ended(self, batch_idx: int) -> int:
        """Note that a batch has been seen, and return the number of its images."""
        before = self.images_done
        self.done, self.updated = batch_idx + 1, time.monotonic()
        return self.images_done - before

    @property
    def images_done(self) -> int:
        """The images that have been seen."""
        return min(self.images, self.done * self.batch_size)


def training_epoch(trainer: Trainer, asked: int | None, done: int) -> Pass:
    """Return the epoch that a trainer starts, or continues after some batches.

    Args:
        asked: The number of epochs that was asked for; None or -1 for no limit.
        done: The batches that have been trained.
    """
    loader, batches = trainer.train_dataloader, int(trainer.num_training_batches)
    limits = [limit for limit in (asked, epochs_in_all(trainer, done)) if limit not in (None, -1)]
    number, count = trainer.current_epoch + 1, min(limits, default=None)
    if count is None:
        name = f"Epoch {number}"
    elif number <= count:
        name = f"Epoch {number:>{len(str(count))}}/{count}"
    else:
        name = "Averaging"  # by StochasticWeightAveraging, which adds an epoch in which nothing is trained
    last = loader.last_batch_size if batches == len(loader) else loader.batch_size
    return Pass(name, batches, loader.batch_size, (batches - 1) * loader.batch_size + last, done)


def evaluation(trainer: Trainer) -> Pass:
    """Return the evaluation that a trainer starts."""
    split = "test"
    if trainer.predicting:
        name, loader, batches = "Prediction", trainer.predict_dataloaders, trainer.num_predict_batches
    elif trainer.testing:
        name, loader, batches = "Test", trainer.test_dataloaders, trainer.num_test_batches
    else:
        split = SPLITS[trainer.datamodule.validation_stage]
        name, loader, batches = NAMES[split], trainer.val_dataloaders, trainer.num_val_batches
    if trainer.sanity_checking:
        name, batches = "First look", trainer.num_sanity_val_batches
    size, count = loader.batch_size * trainer.world_size, int(sum(batches))
    return Pass(name, count, size, min(trainer.datamodule.num_images[split], count * size))
