"""Warns of a training that learns nothing."""

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.errors import UsageError


class ChanceLevel(Callback):
    """Warn, once, if the training accuracy is what guessing would give.

    From the given epoch on, each epoch's training accuracy is compared with q, the share of the largest class among the
    n training images: the accuracy of always answering with that class (1/C for equal classes). An accuracy of at most

        q + 3 * sqrt(q * (1 - q) / n)

    is no better than that: chance alone exceeds it once in 700 epochs. The warning repeats the head's advice, since a
    scale too small for the number of classes is one of the reasons. No tags.

    Args:
        epochs: Number of epochs after which the accuracy is checked for the first time, >= 1.
    """

    def __init__(self, epochs: int = 3) -> None:
        if epochs < 1:
            raise UsageError(f"epochs is {epochs}; the accuracy can be checked after 1 epoch at the earliest")
        self.epochs = epochs
        self._warned = False

    def state_dict(self) -> dict[str, Any]:
        return {"warned": self._warned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._warned = state_dict["warned"]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        epoch = trainer.current_epoch + 1
        if self._warned or epoch < self.epochs:
            return
        accuracy = pl_module.train_metrics.compute()["accuracy"].item()  # over all processes
        counts = trainer.datamodule.class_counts
        guessing = (counts.max() / counts.sum()).item()
        if accuracy > highest_by_chance(guessing, int(counts.sum())):
            return
        self._warned = True
        advice = pl_module.head.advice(counts) or ["Try another learning rate: --optimizer.lr."]
        if trainer.is_global_zero:
            after = f"after {epoch} epoch{'s' if epoch > 1 else ''}"
            text = f"Training accuracy {accuracy:.4f} {after} is no better than guessing, {guessing:.4f}."
            print("Warning    ", text, *advice, flush=True)


def highest_by_chance(guessing: float, num_images: int) -> float:
    """Return the mean accuracy of guesses that are right with probability `guessing`, plus three of its deviations."""
    return guessing + 3 * math.sqrt(guessing * (1 - guessing) / num_images)
