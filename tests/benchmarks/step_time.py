"""A training step of `sbn fit`, with everything it shows and writes, against a bare PyTorch loop; and, with a net so
small that little more than the host's own work is left, against the least that Lightning can do.

    python -m tests.benchmarks.step_time bare|least ROOT RUN_DIR

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
from itertools import islice, pairwise, repeat
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn

from sbn_lightning.backbones.base import Backbone
from sbn_lightning.cli.trainer import TrainerCLI
from sbn_lightning.data import CIFAR100
from sbn_lightning.heads import ScaledBatchNormHead
from tests.benchmarks.batches import normalization_of
from tests.benchmarks.cifar100_files import cifar100
from tests.benchmarks.comparison import Comparison, Row

BLOCKS = 12
STEPS = 51  # in a block; the first only starts the clock, one of the others is logged
LEAST_BATCHES = (8, 128)
LEAST_STEPS, LEAST_SKIPPED = 390, 20  # in an epoch; the first ones are not timed
LEAST_TURNS = 7
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
        parts = pl_module.normalization, pl_module.backbone, pl_module.head
        self.net = nn.Sequential(*map(copy.deepcopy, parts))
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
    """Each of the fit's blocks is compared with the mean of the bare blocks before and after it; the fits of the small
    net take turns with Lightning's."""
    with cifar100() as (data, images), tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as run_dir:
        seconds = in_process("bare", data.root, run_dir)
        around = [(before + after) / 2 for before, after in pairwise(seconds["bare"])]
        what = f"`sbn fit` step, SmallCNN on CIFAR-100 ({images} images), against a bare loop"
        yield Comparison(seconds["fit"], around).time_row(what, "at most 1.08×")
        seconds = in_process("least", data.root, run_dir)
        for size in LEAST_BATCHES:
            fit, same, ready = (seconds[f"{size} {way}"] for way in ("fit", "same", "ready"))
            what = f"`sbn fit` step, a net of one convolution, batch {size}, one thread, against Lightning's minimum"
            yield Comparison(fit, same).time_row(f"{what} on the same augmented batches", "at most 1.15×")
            yield Comparison(fit, ready).time_row(f"{what} on batches made before", "at most 1.4×")


def in_process(what: str, root: Path, run_dir: str) -> dict[str, list[float]]:
    """The seconds of each step's kind, measured in a process and on a terminal of its own, as a user's training has."""
    run_in_terminal([sys.executable, "-m", "tests.benchmarks.step_time", what, str(root), run_dir])
    return json.loads((Path(run_dir) / SECONDS).read_text())


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


def measure_bare(root: str, run_dir: str) -> None:
    """Fit as a user would, in short epochs, and write the seconds of all blocks to RUN_DIR/seconds.json."""
    settings = {
        "model.backbone": "SmallCNN",
        "trainer.callbacks+": f"{Alternate.__module__}.{Alternate.__name__}",
        "trainer.max_epochs": BLOCKS,
        "trainer.limit_train_batches": STEPS,
        "trainer.limit_val_batches": 2,
    }
    alternate = fitted(root, run_dir, settings, Alternate)
    (Path(run_dir) / SECONDS).write_text(json.dumps({"bare": alternate.bare, "fit": alternate.fit}))


def measure_least(root: str, run_dir: str) -> None:
    """Fit the small net in turns by `sbn fit` and by Lightning's minimum, and write the seconds of a step."""
    torch.set_num_threads(1)
    seconds: dict[str, list[float]] = {}
    for size in LEAST_BATCHES:
        data = CIFAR100(root=root, batch_size=size)
        data.prepare_data()
        data.setup("fit")
        for number in range(LEAST_TURNS):
            settings = {
                "model.backbone": f"{OneConvolution.__module__}.{OneConvolution.__name__}",
                "data.batch_size": size,
                "trainer.callbacks+": f"{Clock.__module__}.{Clock.__name__}",
                "trainer.max_epochs": 2,
                "trainer.limit_train_batches": LEAST_STEPS,
                "trainer.limit_val_batches": 1,
            }
            clock = fitted(root, f"{run_dir}/{size}/{number}", settings, Clock)
            seconds.setdefault(f"{size} fit", []).append(clock.seconds)
            seconds.setdefault(f"{size} same", []).append(least(data.train_dataloader(), data))
            normalize = normalization_of(data)
            augmented = map(data.on_after_batch_transfer, data.train_dataloader(), repeat(0))
            batches = [(normalize(images), labels) for images, labels in islice(augmented, LEAST_STEPS)]
            seconds.setdefault(f"{size} ready", []).append(least(Ready(batches)))
    (Path(run_dir) / SECONDS).write_text(json.dumps(seconds))


def fitted(root: str, run_dir: str, settings: dict[str, Any], wanted: type[Any]) -> Any:
    """The callback of a class after a fit by the command."""
    first = {"config": "configs/cifar100_sbn.yaml", "run_dir": run_dir, "data.root": root}
    settings = first | {"trainer.accelerator": "cpu"} | settings  # a later one prevails
    cli = TrainerCLI("fit", [f"--{name}={value}" for name, value in settings.items()], ExitStack())
    cli.run()
    return next(callback for callback in cli.trainer.callbacks if isinstance(callback, wanted))


class Clock(Callback):
    """Keeps the seconds of a step in the last epoch, without its first steps."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == LEAST_SKIPPED - 1:
            self.start = time.perf_counter()
        elif batch_idx == LEAST_STEPS - 1:
            self.seconds = (time.perf_counter() - self.start) / (LEAST_STEPS - LEAST_SKIPPED)


class OneConvolution(Backbone):
    """Eight channels, and their means as features."""

    num_features = 8

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 8, kernel_size=3, stride=2)

    def forward(self, images: Tensor) -> Tensor:
        return self.convolution(images).relu().mean((2, 3))


class Least(LightningModule):
    """What Lightning needs to train the small net with the head of the paper."""

    def __init__(self, data: CIFAR100 | None) -> None:
        super().__init__()
        self.data = data
        self.normalize = normalization_of(data) if data is not None else None
        self.net = nn.Sequential(OneConvolution(), ScaledBatchNormHead(8, 100))

    def on_after_batch_transfer(self, batch: Any, dataloader_idx: int) -> tuple[Tensor, Tensor]:
        if self.data is None:
            return batch
        images, labels = self.data.on_after_batch_transfer(batch, dataloader_idx)
        return self.normalize(images), labels

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        images, labels = batch
        return F.cross_entropy(self.net(images), labels)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)


class Ready:
    """A loader of batches that were made before."""

    def __init__(self, batches: list[Any]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.batches)


def least(loader: Any, data: CIFAR100 | None = None) -> float:
    """Seconds of a step by a trainer that logs, shows and saves nothing; data augments the loader's batches."""
    clock = Clock()
    trainer = Trainer(
        accelerator="cpu",
        callbacks=[clock],
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
        limit_train_batches=LEAST_STEPS,
        logger=False,
        max_epochs=2,
    )
    trainer.fit(Least(data), loader)
    return clock.seconds


if __name__ == "__main__":
    from tests.benchmarks import step_time  # not __main__, whose classes the parser cannot find by name

    way, *arguments = sys.argv[1:]
    {"bare": step_time.measure_bare, "least": step_time.measure_least}[way](*arguments)
