"""How far a training, test or prediction is, and how that reads: in the bar, and in the lines of epochs."""

import math
import time

import torch
from lightning.pytorch import LightningModule, Trainer

from sbn_lightning.callbacks.bar import Bar, Field
from sbn_lightning.callbacks.pace import Pace, batches_left, may_stop_early, time_limit
from sbn_lightning.callbacks.passes import SPLITS, Pass, evaluation, training_epoch
from sbn_lightning.terminal import duration

SHORT = 1.0
"""Seconds for which a validation is not shown: short ones would make the bar flicker."""


class Status:
    """What is known while a command runs, from the first process. Its texts may be asked for by another thread.

    Args:
        epochs: The number that was asked for; None or -1 for no limit.

    Attributes:
        epoch: The epoch of training.
        present: The pass that is under way: the epoch, or an evaluation.
        is_training: Whether a training runs, also while it is validated.
    """

    def __init__(self, epochs: int | None) -> None:
        self._epochs = epochs
        self.epoch = self.present = Pass()
        self.is_training = False
        self._pace = self._pace_of_evaluation = Pace(time.monotonic())
        self._left, self._ends_by = math.inf, math.inf  # batches of training when the epoch started; time.monotonic
        self._may_stop_early = False
        self._loss = self._accuracy = self._learning_rate = self._memory = ""  # as text
        self._is_validated = False  # in this epoch

    def start_training(self, trainer: Trainer) -> None:
        self.is_training = True
        self._pace = Pace(time.monotonic())
        self._ends_by = time.monotonic() + time_limit(trainer)
        self._may_stop_early = may_stop_early(trainer)
        self._note_accuracy(trainer)  # of an epoch before, if it is continued
        self.start_epoch(trainer, done=trainer.fit_loop.batch_idx + 1)

    def start_epoch(self, trainer: Trainer, done: int = 0) -> None:
        """An epoch starts, or is continued after some batches."""
        self._pace.epoch_starts(time.monotonic())
        self.epoch = self.present = training_epoch(trainer, self._epochs, done)
        self._left = batches_left(trainer, done) + done
        self._is_validated = False
        self._note_learning_rate(trainer)

    def batch_ended(self, batch_idx: int) -> None:
        """A batch of training or of an evaluation has been seen."""
        size = self.present.batch_ended(batch_idx)
        pace = self._pace if self.present is self.epoch else self._pace_of_evaluation
        pace.batch_ended(self.present.updated, size)

    def read(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Read from the device what is shown of the epoch so far."""
        images = self.epoch.images_done / trainer.world_size  # of which this process has the losses
        self._loss = loss_text(pl_module.train_metrics.losses.item() / images)
        self._memory = memory_text(pl_module.device)
        if self.epoch.done < self.epoch.batches:  # after the last batch it is that of the next epoch
            self._note_learning_rate(trainer)

    def epoch_ended(self) -> None:
        self._pace.stop(time.monotonic())

    def start_evaluation(self, trainer: Trainer) -> None:
        self._pace.stop(time.monotonic())
        self.present = evaluation(trainer)
        self._pace_of_evaluation = Pace(time.monotonic())

    def end_evaluation(self, trainer: Trainer) -> None:
        """A validation within a training has ended, and was logged."""
        self._pace.go_on(time.monotonic())
        self.present, self._is_validated = self.epoch, True
        self._note_accuracy(trainer)

    def bar(self) -> Bar:
        """What is shown now."""
        present = self.present
        if self.is_training and time.monotonic() - present.started < SHORT:
            present = self.epoch
        is_epoch = present is self.epoch
        pace = self._pace if is_epoch else self._pace_of_evaluation
        seconds, of_one = pace.left(time.monotonic(), present.batches - present.done), pace.seconds_per_batch
        left = speed = ""
        if seconds is not None and of_one:
            left, speed = f"{rest_text(seconds)} left", speed_text(present.batch_size / of_one)
        images = f"{present.images_done:,}/{present.images:,} images"
        fields = (
            Field(4, left),
            *((Field(1, self._loss), Field(6, self._learning_rate)) if is_epoch else (Field(1, images),)),
            Field(5, speed),
            Field(3, self._accuracy if is_epoch else ""),
            Field(7, self._memory),
            Field(2, self.left_in_all()),
        )
        return Bar(present.name, present.done, present.batches, fields)

    def line(self, loss: float, accuracy: float) -> list[Field]:
        """What an epoch leaves, at its end.

        Args:
            loss, accuracy: Their means over the epoch.
        """
        accuracies = [f"accuracy train {accuracy:.4f}", *([self._accuracy] if self._is_validated else [])]
        return [
            Field(0, self.epoch.name),
            Field(1, loss_text(loss)),
            Field(2, ", ".join(accuracies)),
            Field(5, self._learning_rate),
            Field(4, duration(time.monotonic() - self.epoch.started)),
            Field(3, self.left_in_all()),
        ]

    def line_within(self) -> list[Field]:
        """What is said within a long epoch, after `read`."""
        part = f"{self.epoch.done / self.epoch.batches:.0%} done"
        return [Field(0, self.epoch.name), Field(1, part), Field(2, self._loss), Field(3, self.left_in_all())]

    def left_in_all(self) -> str:
        """What is left of the training, as text; an empty one if that is not known, or it is not a training."""
        now, batches = time.monotonic(), self._left - self.epoch.done
        if not self.is_training or batches <= 0:
            return ""
        seconds: float | None = math.inf
        if batches < math.inf:
            seconds = self._pace.left(now, batches, math.ceil(self._left / self.epoch.batches))
        if seconds is None or (left := min(seconds, self._ends_by - now)) == math.inf:
            return ""
        return f"{'≤ ' * self._may_stop_early}{rest_text(left)} left in all"

    def _note_learning_rate(self, trainer: Trainer) -> None:
        self._learning_rate = f"lr {float(trainer.optimizers[0].param_groups[0]['lr']):.3g}"

    def _note_accuracy(self, trainer: Trainer) -> None:
        stage = trainer.datamodule.validation_stage
        accuracy = trainer.callback_metrics.get(f"{stage}/accuracy")
        self._accuracy = "" if accuracy is None else f"{SPLITS[stage]} {accuracy.item():.4f}"


def loss_text(loss: float) -> str:
    return f"loss {loss:.4f}"


def memory_text(device: torch.device) -> str:
    """The memory that this process has taken on a GPU; nothing for another device."""
    return f"GPU {torch.cuda.memory_reserved(device) / 1e9:.1f} GB" if device.type == "cuda" else ""


def rest_text(seconds: float) -> str:
    """An expected duration, without parts of a second."""
    return duration(max(0, round(seconds)))


def speed_text(images_per_second: float) -> str:
    """E.g. 12,345 images/s, or 1.9 images/s."""
    digits = ",.0f" if images_per_second >= 10 else ".2g"
    return f"{images_per_second:{digits}} images/s"
