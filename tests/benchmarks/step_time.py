"""A training step of `sbn fit`, with everything it shows and writes, against a bare PyTorch loop.

    python -m tests.benchmarks.step_time ROOT RUN_DIR

is the process that measures: Lightning draws its progress bar only on a terminal, so `rows` gives it one.
"""

import copy
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from sbn_lightning.cli.trainer import TrainerCLI
from tests.benchmarks.cifar100_files import cifar100
from tests.benchmarks.comparison import Comparison, Row

BLOCKS = 12
STEPS = 51  # in a block; the first only starts the clock, one of the others is logged
SECONDS = "seconds.json"


class Alternate(Callback):
    """Runs a block of the bare loop before each epoch of the fit, and one after the last.

    Both are timed from the end of a block's first step to the end of its last.

    Attributes:
        bare: Seconds for a step of the bare loop, one entry for each block.
        fit: Likewise for the fit, one fewer.
    """

    def __init__(self) -> None:
        self.bare: list[float] = []
        self.fit: list[float] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.net = nn.Sequential(copy.deepcopy(pl_module.backbone), copy.deepcopy(pl_module.head))
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bare_block(trainer.datamodule)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == 0:
            self.start = time.perf_counter()
        elif batch_idx == STEPS - 1:
            self.fit.append((time.perf_counter() - self.start) / (STEPS - 1))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._bare_block(trainer.datamodule)

    def _bare_block(self, data: Any) -> None:
        for step, batch in enumerate(islice(data.train_dataloader(), STEPS)):
            images, labels = data.on_after_batch_transfer(batch, 0)
            loss = F.cross_entropy(self.net(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            if step == 0:
                start = time.perf_counter()
        self.bare.append((time.perf_counter() - start) / (STEPS - 1))


def rows() -> Iterator[Row]:
    """One row; each of the fit's blocks is compared with the mean of the bare blocks before and after it."""
    with cifar100() as (data, images), tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as run_dir:
        run_in_terminal([sys.executable, "-m", "tests.benchmarks.step_time", str(data.root), run_dir])
        seconds = json.loads((Path(run_dir) / SECONDS).read_text())
        around = [(before + after) / 2 for before, after in pairwise(seconds["bare"])]
        what = f"`sbn fit` step, SmallCNN on CIFAR-100 ({images} images), against a bare loop"
        yield Comparison(seconds["fit"], around).time_row(what, "at most 1.08×")


def run_in_terminal(command: list[str]) -> None:
    """Run a command on a terminal of its own, and throw away what it shows there unless it fails."""
    terminal, its_end = os.openpty()
    environment = os.environ | {"TERM": "xterm-256color"}
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=its_end, stderr=its_end, env=environment)
    os.close(its_end)
    shown = b""
    while text := read(terminal):
        shown += text
    os.close(terminal)
    if process.wait() != 0:
        raise RuntimeError(f"{' '.join(command)} failed:\n{shown[-5000:].decode(errors='replace')}")


def read(terminal: int) -> bytes:
    """What was written next to a terminal, b"" after its last writer has closed it."""
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # Linux's way to say so
        return b""


def measure(root: str, run_dir: str) -> None:
    """Fit as a user would, in short epochs, and write the seconds of all blocks to RUN_DIR/seconds.json."""
    settings = {
        "config": "configs/cifar100_sbn.yaml",
        "run_dir": run_dir,
        "data.root": root,
        "model.backbone": "SmallCNN",
        "trainer.accelerator": "cpu",
        "trainer.callbacks+": f"{Alternate.__module__}.{Alternate.__name__}",
        "trainer.max_epochs": BLOCKS,
        "trainer.limit_train_batches": STEPS,
        "trainer.limit_val_batches": 2,
    }
    cli = TrainerCLI("fit", [f"--{name}={value}" for name, value in settings.items()], ExitStack())
    cli.run()
    alternate = next(callback for callback in cli.trainer.callbacks if isinstance(callback, Alternate))
    (Path(run_dir) / SECONDS).write_text(json.dumps({"bare": alternate.bare, "fit": alternate.fit}))


if __name__ == "__main__":
    from tests.benchmarks import step_time  # not __main__, whose classes the parser cannot find by name

    step_time.measure(*sys.argv[1:])
