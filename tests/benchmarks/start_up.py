"""How long `sbn` takes until it answers, and until it trains."""

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from tests.benchmarks.comparison import Row, compare, timed

REPETITIONS = 5
SBN = Path(sysconfig.get_path("scripts")) / "sbn"
# Both processes end at once: what Python cleans up at its end is no part of starting.
IMPORT = [sys.executable, "-c", "import os; from lightning.pytorch.cli import LightningCLI; os._exit(0)"]


class StopBeforeFirstStep(Callback):
    """Ends the process at once when the first batch is about to be trained on."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        os._exit(0)


def rows() -> Iterator[Row]:
    """`sbn --help`, `sbn fit --help` and `sbn fit` until its first step, all against importing LightningCLI alone."""
    with tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as folder:
        theirs = process(IMPORT)
        first_step = f"--trainer.callbacks+={StopBeforeFirstStep.__module__}.{StopBeforeFirstStep.__name__}"
        fit = [SBN, "fit", "--config", "digits_sbn", first_step, "--data.root", folder, "--run_dir", f"{folder}/run"]
        for what, wanted, command in (
            ("`sbn --help`", "under 1 s", [SBN, "--help"]),
            ("`sbn fit --help`", "under 2 s", [SBN, "fit", "--help"]),
            ("`sbn fit --config digits_sbn`, until the first step", "at most 1.1×", fit),
        ):
            ours = process(command)
            ours(), theirs()  # reads the files into memory, packs the digits
            yield compare(ours, theirs, REPETITIONS).time_row(f"{what}, against importing LightningCLI", wanted)


def process(command: Sequence[str | Path]) -> Callable[[], float]:
    """How to measure a command from its start to its end."""
    # The package `tests` is not installed; our callback is found in it by name.
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    return timed(lambda: subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True), 1)
