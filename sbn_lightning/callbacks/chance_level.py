"""Pointing out a training that learns nothing."""

import math
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.errors import UsageError


class ChanceLevel(Callback):
    """Warn, once, where training accuracy is what guessing would give.

    From the given epoch on, each epoch's training accuracy is compared with the share q of the largest class among the
    n training images, which always answering with that class would give (1/C for equal classes). Up to

        q + 3 * sqrt(q * (1 - q) / n)

    an accuracy is no better than that: chance alone exceeds it once in 700 epochs. The warning repeats the head's
    advice: a scale too small for the number of classes is one of the reasons.

    Args:
        epochs: Epochs after which it is looked for, >= 1.

    Raises:
        UsageError: If epochs is smaller than 1.
    """

    def __init__(self, epochs: int = 3) -> None:
        if epochs < 1:
            raise UsageError(f"epochs is {epochs}; chance level can be looked for after 1 epoch at the earliest")
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
        accuracy = pl_module.train_metrics.accuracy.compute().item()  # over all processes
        counts = trainer.datamodule.class_counts
        guessing = (counts.max() / counts.sum()).item()
        if accuracy <= highest_by_chance(guessing, int(counts.sum())):
            self._warned = True
            if trainer.is_global_zero:
                advice = pl_module.head.advice(counts) or ["Try another learning rate: --optimizer.lr."]
                print(
                    f"Warning     Training accuracy {accuracy:.4f} after {epoch} epoch{'s' if epoch > 1 else ''} is no "
                    f"better than guessing, {guessing:.4f}. {' '.join(advice)}",
                    flush=True,
                )


def highest_by_chance(guessing: float, num_images: int) -> float:
    """Three standard deviations above the mean accuracy of guessing that is right with probability `guessing`."""
    return guessing + 3 * math.sqrt(guessing * (1 - guessing) / num_images)
