"""Signals that ask a process to end: a job manager's SIGTERM, SLURM's SIGUSR1 before the time limit, Ctrl-C."""

import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Any, NoReturn

from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch import Trainer

from sbn_lightning.checkpointing.lightning_internals import never_install_signal_handlers
from sbn_lightning.terminal import EMPTY, complain, show

KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no SIGKILL
SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name)]


class StopSignals:
    """Remembers that the process was asked to end, so that training ends between two steps.

    Lightning's own handlers (SIGTERM that ends with 0 and saves nothing, SLURM's requeueing with a checkpoint of its
    own) are never installed.

    Attributes:
        received: Number of the signal that came, 0 for none.
        training: Whether training has started; before, there is nothing to save, and a signal ends the process at once.
    """

    def __init__(self) -> None:
        self.received = 0
        self.training = False
        self._former: dict[int, Any] = {}

    def install(self, trainer: Trainer) -> None:
        """Take over the signals until `restore`."""
        self._trainer = trainer
        never_install_signal_handlers(trainer)
        self._former = {number: signal.signal(number, self._handle) for number in SIGNALS}

    def restore(self) -> None:
        """Give the signals back to the handlers that had them."""
        while self._former:
            signal.signal(*self._former.popitem())

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        if self.training:
            part = "validation" if self._trainer.validating else "step"
            self._say(show, EMPTY, (signal_name(number), f"stopping after this {part}, then saving"))
        else:
            self._say(complain, f"stopped by {signal_name(number)} before the first step")
            end_other_processes(self._trainer, number)
            end_process(self._trainer, number)

    def _say(self, how: Callable[..., None], *what: Any) -> None:
        # The signal may have come in the middle of a print, and that one's stream takes no other then.
        with suppress(RuntimeError):
            if self._trainer.is_global_zero:
                how(*what)


def signal_name(number: int) -> str:
    """Return what a user calls a signal: Ctrl-C, SIGTERM, SIGUSR1."""
    return "Ctrl-C" if number == signal.SIGINT else signal.Signals(number).name


def end_other_processes(trainer: Trainer, number: int) -> None:
    """Send a signal to the processes that this one has started for the training."""
    if hasattr(trainer.strategy.launcher, "kill"):
        trainer.strategy.launcher.kill(number)


def end_process(trainer: Trainer, number: int) -> NoReturn:
    """End this process with 128 + the signal's number, as a shell reports it."""
    environment = getattr(trainer.strategy, "cluster_environment", None)
    # Lightning's launcher kills the first process when another one ends with anything but 0.
    is_started_by_first = isinstance(environment, LightningEnvironment) and trainer.local_rank > 0
    raise SystemExit(0 if is_started_by_first else 128 + number)
