"""Signals that ask a process to end: a job manager's SIGTERM, SLURM's SIGUSR1 before the time is up, Ctrl-C."""

import signal
import threading
from types import FrameType
from typing import Any

from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Trainer

SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name)]


class StopSignals:
    """Remembers that the process was asked to end, for training to end between two steps.

    Before training has begun there is nothing to save: the process ends at once. Lightning's own handlers (SIGTERM that
    ends with 0 and saves nothing, SLURM's requeueing with a checkpoint of its own) are never installed.

    Attributes:
        received: Number of the signal that came, 0 for none.
    """

    def __init__(self) -> None:
        self.received = 0
        self._training = False
        self._former: dict[int, Any] = {}

    def install(self, trainer: Trainer) -> None:
        """Take over the signals until `restore`."""
        if threading.current_thread() is not threading.main_thread():
            return
        self._trainer = trainer
        trainer._signal_connector.register_signal_handlers = lambda: None
        self._former = {number: signal.signal(number, self._handle) for number in SIGNALS}

    def training_starts(self) -> None:
        """From now on signals only set `received`."""
        self._training = True

    def restore(self) -> None:
        """Give the signals back to those that had them."""
        for number, handler in self._former.items():
            signal.signal(number, handler)
        self._former = {}

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._training:
            self.received = number
        else:
            launcher = self._trainer.strategy.launcher
            if launcher is not None and hasattr(launcher, "kill"):
                launcher.kill(number)  # the processes that this one has started
            raise SystemExit(exit_code(self._trainer, number))


def exit_code(trainer: Trainer, number: int) -> int:
    """128 + the signal's number, as a shell says it."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    if isinstance(environment, LightningEnvironment) and trainer.local_rank > 0:
        # Lightning's launcher kills the main process when another one ends with anything but 0.
        return 0
    return 128 + number
