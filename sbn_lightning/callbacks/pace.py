"""How long a batch of training takes, and what is left until a training ends."""

import math
from collections import deque

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import EarlyStopping, Timer

FAR_TOO_LONG = 2.0, 1.0
"""A batch takes far longer than those before it if it takes this many times their mean, and this many seconds more."""


class Pace:
    """The mean time of a batch, and of all else that an epoch takes: validations, pictures, checkpoints.

    The mean of a batch is over this epoch and the one before, so that it follows a machine that becomes slower. The
    first batch of each size does not count, since the network may be compiled for it. What else the first epoch takes
    counts only until there is another one, for the same reason.

    Args:
        now: Seconds, of the clock that all methods are told.

    Attributes:
        batches: The batches that count.
    """

    def __init__(self, now: float) -> None:
        self.batches = 0
        self._sizes = set[int]()  # of the batches
        self._trained = 0.0  # seconds of the batches that count
        self._marks = deque([(0.0, 0)], maxlen=2)  # (seconds of training, batches) at the start of the last epochs
        self._since = now  # when the clock of training was started, or would have been if it had never been stopped
        self._stopped_at: float | None = None
        self._other = 0.0  # seconds of all else
        self._others = [0.0]  # the same, at the start of each epoch

    def batch_ended(self, now: float, size: int) -> None:
        """A batch of a number of images has ended."""
        if size in self._sizes:
            self.batches += 1
            self._trained = now - self._since
        else:
            self._sizes.add(size)
            self._since = now - self._trained

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
        if self._sizes:
            self._others.append(self._other)
            self._marks.append((self._trained, self.batches))

    @property
    def seconds_per_batch(self) -> float | None:
        """The mean time of a batch; None before one has ended that counts."""
        seconds, batches = self._marks[0]
        return (self._trained - seconds) / (self.batches - batches) if self.batches > batches else None

    @property
    def other_per_epoch(self) -> float:
        """The mean time of all else in an epoch that has ended; 0 before one has."""
        first, *later = self._others[1:] or [0.0]
        return (later[-1] - first) / len(later) if later else first

    def left(self, now: float, batches: float, epochs: int = 0) -> float | None:
        """Return how many seconds some batches of training will take, with all else in a number of epochs, of which the
        present one is the first; None while that is not known, as when the present batch takes far too long."""
        of_one, other = self.seconds_per_batch, self.other_per_epoch
        if of_one is None:
            return None
        done, spent = 0.0, self._other - self._others[-1]
        if self._stopped_at is None:
            done = now - self._since - self._trained
            times, more = FAR_TOO_LONG
            if done > times * of_one + more:
                return None
        else:
            spent += now - self._stopped_at
        return max(0.0, batches * of_one - min(done, of_one)) + max(0.0, epochs * other - min(spent, other))


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


def may_stop_early(trainer: Trainer) -> bool:
    """Whether what is left of a training is known as an upper bound only."""
    return any(isinstance(callback, EarlyStopping) for callback in trainer.callbacks)


def time_limit(trainer: Trainer) -> float:
    """Return the seconds that max_time leaves; infinity without one."""
    timers = (callback for callback in trainer.callbacks if isinstance(callback, Timer))
    return min((left for timer in timers if (left := timer.time_remaining()) is not None), default=math.inf)
