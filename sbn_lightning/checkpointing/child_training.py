"""A training in a process of its own, which tells how far it is."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.errors import UsageError

STEP = "optimizer step "
EVERY = 0.2  # seconds between two steps that are told


class TellSteps(Callback):
    """Prints the number of the optimizer step that has ended, from 1, at most five times a second. No tags."""

    def __init__(self) -> None:
        self.told = 0.0

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if trainer.is_global_zero and time.monotonic() - self.told > EVERY:
            self.told = time.monotonic()
            print(f"{STEP}{trainer.global_step}", flush=True)


def train(options: Sequence[str], expected: int, on_step: Callable[[int], None]) -> None:
    """Run `sbn fit` as a process, end all processes that it has started, and compare its exit code.

    Args:
        options: Of `sbn fit`.
        expected: The exit code; −n if signal n is to kill it.
        on_step: Called with the number of a step that has ended, now and then.

    Raises:
        UsageError: If the exit code is another one.
    """
    program = [sys.executable, "-m", "sbn_lightning", "fit", *options, "--trainer.enable_progress_bar=false"]
    program.append(f"--trainer.callbacks+={TellSteps.__module__}.{TellSteps.__name__}")
    last = "there was no output"
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", start_new_session=True
    ) as process:
        try:
            for line in process.stdout or ():
                if line.startswith(STEP):
                    on_step(int(line.removeprefix(STEP)))
                else:
                    last = line.strip() or last
            process.wait()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    if process.returncode != expected:
        raise UsageError(f"the training ended with exit code {process.returncode}, not {expected}: {last}")
