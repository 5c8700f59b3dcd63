"""How long a batch of training takes, and what is left until a training ends."""

import math
from collections import deque

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Timer


class Pace:
    """The mean time of a batch, and of all else that an epoch takes: validations, pictures, checkpoints.

    The mean of a batch is over this epoch and the one before, so that it follows a machine that becomes slower. The
    very first batch, which may compile, counts only until there is another one.

    Args:
        now: Seconds, of the clock that all methods are told.

    Attributes:
        batches: The batches of training since this pace was made.
    """

    def __init__(self, now: float) -> None:
        self.batches = 0
        self._trained = 0.0  # seconds, when the last batch ended
        self._marks = deque([(0.0, 0)], maxlen=2)  # (seconds of training, batches) at the start of the last epochs
        self._since = now  # when the clock of training was started, or would have been if it had never been stopped
        self._stopped_at: float | None = None
        self._other, self._epochs = 0.0, 0  # seconds of all else, and the epochs that have ended

    def batch_ended(self, now: float) -> None:
        self.batches += 1
        self._trained = now - self._since
        if self.batches == 1:
            self._marks[0] = self._trained, 1

    def stop(self, now: float) -> None:
        """Training waits for something else."""
        if self._stopped_at is None:
            self._stopped_at = now

    def go_on(self, now: float) -> None:
        """Training goes on."""
        if self._stopped_at is not None:
            self._since += now - self._stopped_at
            self._other += now - self._stopped_at
            self._stopped_at = None

    def epoch_starts(self, now: float) -> None:
        """The first batch of an epoch comes next."""
        self.go_on(now)
        if self.batches:
            self._epochs += 1
            self._marks.append((self._trained, self.batches))

    @property
    def seconds_per_batch(self) -> float | None:
        """The mean time of a batch; None before the first one has ended."""
        seconds, batches = self._marks[0]
        if self.batches > batches:
            return (self._trained - seconds) / (self.batches - batches)
        return self._trained / self.batches if self.batches else None

    def seconds_for(self, batches: float, epochs: float = 0) -> float | None:
        """Return how long some batches of training will take, with all else that a number of epochs takes."""
        of_one = self.seconds_per_batch
        return None if of_one is None else batches * of_one + epochs * self._other / max(1, self._epochs)


def epochs_in_all(trainer: Trainer, done: int) -> int | None:
    """Return the number of the last epoch, counted from 1, as max_epochs and max_steps have it; None without a limit.

    Args:
        done: Batches of the present epoch that have been trained.
    """
    limits = [] if trainer.max_epochs in (None, -1) else [trainer.max_epochs]
    if trainer.max_steps != -1:
        steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        left = trainer.max_steps - trainer.global_step + done // trainer.accumulate_grad_batches
        limits.append(trainer.current_epoch + math.ceil(left / steps))
    return min(limits, default=None)


def batches_left(trainer: Trainer, done: int) -> float:
    """Return how many batches of training are left until its last epoch or step; infinity without a limit."""
    epochs = epochs_in_all(trainer, done)
    if epochs is None:
        return math.inf
    left = (epochs - trainer.current_epoch) * trainer.num_training_batches - done
    if trainer.max_steps != -1:
        left = min(left, (trainer.max_steps - trainer.global_step) * trainer.accumulate_grad_batches)
    return max(0, left)


def time_limit(trainer: Trainer) -> float:
    """Return the seconds that max_time leaves; infinity without one."""
    timers = (callback for callback in trainer.callbacks if isinstance(callback, Timer))
    return min((left for timer in timers if (left := timer.time_remaining()) is not None), default=math.inf)
