"""Writing a checkpoint every 200 steps, against the 200 steps."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from sbn_lightning.checkpointing.save import RunCheckpoint
from tests.benchmarks.cifar100_files import cifar100
from tests.benchmarks.comparison import Comparison, Row

REPETITIONS = 5
STEPS = 200  # between two checkpoints


class TimeSaves(Callback):
    """Times a training's steps, and as many saves of its whole state as repetitions; prints both in seconds.

    The first step is left out: it also allocates.
    """

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.start = time.perf_counter()

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        step = time.perf_counter() - self.start
        if trainer.global_step == 1:
            return
        checkpoint = next(callback for callback in trainer.callbacks if isinstance(callback, RunCheckpoint))
        start = time.perf_counter()
        checkpoint._save(trainer)
        print(f"SECONDS {step} {time.perf_counter() - start}", flush=True)


def rows() -> Iterator[Row]:
    """One row: the save of ResNet-18 with its optimizer, and 200 times the step measured beside it."""
    with cifar100() as (data, _), tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as folder:
        settings = {
            "config": "configs/cifar100_sbn.yaml",
            "run_dir": f"{folder}/run",
            "data.root": data.root,
            "trainer.accelerator": "cpu",
            "trainer.callbacks+": f"{TimeSaves.__module__}.{TimeSaves.__name__}",
            "trainer.max_steps": REPETITIONS + 1,
            "trainer.limit_val_batches": 0,
            "trainer.enable_progress_bar": "false",
        }
        command = [
            sys.executable,
            "-m",
            "sbn_lightning",
            "fit",
            *(f"--{key}={value}" for key, value in settings.items()),
        ]
        environment = os.environ | {"PYTHONPATH": os.getcwd()}
        said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
        seconds = [line.split()[1:] for line in said.splitlines() if line.startswith("SECONDS")]
        size = (Path(folder) / "run/checkpoints/last.ckpt").stat().st_size
        compared = Comparison([float(save) for _, save in seconds], [STEPS * float(step) for step, _ in seconds])
        what = f"a checkpoint of ResNet-18 ({size / 1e6:.0f} MB) every {STEPS} steps, against these steps"
        yield compared.time_row(what, "at most 0.02×")
