"""Training on a GPU: how long the paper's 100 epochs take, and how many images a second, against a plain PyTorch loop.

    python -m tests.benchmarks.gpu [--epochs 100]

prints both rows; `python -m tests.benchmarks gpu` the same among the others.
"""

import argparse
import copy
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn
from torch.utils.data import DataLoader

from sbn_lightning.cli.trainer import TrainerCLI
from tests.benchmarks.batches import TorchvisionCIFAR100
from tests.benchmarks.cifar100_files import cifar100
from tests.benchmarks.comparison import Comparison, Row
from tests.benchmarks.step_time import run_in_terminal

EPOCHS = 100
COMPARED_EPOCHS = 6  # the first compiles and is left out
RESULT = "gpu.json"


class Clock(Callback):
    """Times the epochs of a fit; beside each of them, if asked to, one of a plain loop.

    The device is waited for at the epochs' ends, nowhere else.

    Args:
        workers: The plain loop's worker processes; None for no plain loop.

    Attributes:
        starts: When each epoch's first step began, seconds.
        ends: When each epoch's last step was done, seconds.
        plain: Seconds of each epoch of the plain loop.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers = workers
        self.starts: list[float] = []
        self.ends: list[float] = []
        self.plain: list[float] = []

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.workers is not None:
            self.loop = PlainLoop(pl_module, TorchvisionCIFAR100(trainer.datamodule), self.workers)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if self.workers is not None:
            self.plain.append(self.loop.epoch(int(trainer.num_training_batches)))
        self.starts.append(now(pl_module.device))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == trainer.num_training_batches:
            self.ends.append(now(pl_module.device))


class PlainLoop:
    """The same net, batches and optimizer in float32, as people write it: torchvision's dataset in a DataLoader.

    PyTorch's own defaults: convolutions may use TF32 tensor cores, cuDNN does not try out its convolutions.
    """

    def __init__(self, pl_module: LightningModule, dataset: TorchvisionCIFAR100, workers: int) -> None:
        self.device = pl_module.device
        # A copy is not compiled.
        self.net = nn.Sequential(copy.deepcopy(pl_module.backbone), copy.deepcopy(pl_module.head))
        self.net.to(memory_format=torch.contiguous_format)
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)
        self.loader = DataLoader(
            dataset,
            batch_size=128,
            shuffle=True,
            num_workers=workers,
            pin_memory=self.device.type == "cuda",
            persistent_workers=workers > 0,
        )

    def epoch(self, steps: int) -> float:
        """Train for a number of steps; return the seconds from the start of the first to the end of the last."""
        self.net.train()
        tuned, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
        start = now(self.device)
        for _, (images, labels) in zip(range(steps), self.loader, strict=False):
            images, labels = (part.to(self.device, non_blocking=True) for part in (images, labels))
            loss = F.cross_entropy(self.net(images), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        seconds = now(self.device) - start
        torch.backends.cudnn.benchmark = tuned
        return seconds


def now(device: torch.device) -> float:
    """Seconds, once the device has done all it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def rows(epochs: int = EPOCHS) -> Iterator[Row]:
    """A whole training, then training and the plain loop in turns; without a GPU a line that says so."""
    if not torch.cuda.is_available():
        yield Row("no GPU here: training of ResNet-18 on CIFAR-100 was not measured", "", "", "", "")
        return
    name = torch.cuda.get_device_name()
    with cifar100() as (data, images):
        result = in_process(data.root, epochs)
        yield training_row(f"ResNet-18 on CIFAR-100 ({images} images), {name}", result)
        workers = os.cpu_count() or 1
        result = in_process(data.root, COMPARED_EPOCHS, "--workers", str(workers))
        what = f"training images, ResNet-18 on CIFAR-100 ({images} images), {name}, against a plain float32 loop"
        yield speed_row(f"{what}, {workers} workers", result)


def training_row(what: str, result: dict[str, Any]) -> Row:
    """Seconds from the first to the last step; the extra time of the first epoch is given separately."""
    starts = result["starts"]
    epochs = [later - start for start, later in zip(starts, [*starts[1:], result["ends"][-1]], strict=True)]
    usual = statistics.median(epochs[1:]) if len(epochs) > 1 else epochs[0]
    total = sum(epochs[1:]) + usual
    return Row(
        f"{what}, {len(epochs)} epochs with `--config fast`, first to last step",
        f"{total:.1f} s ({usual:.2f} s an epoch, its test included)",
        "",
        f"compilation and warm-up apart: {epochs[0] - usual:.1f} s; test accuracy {100 * result['accuracy']:.2f} %",
        "under 150 s, at the paper's accuracy" if len(epochs) == EPOCHS else "",
    )


def speed_row(what: str, result: dict[str, Any]) -> Row:
    """Images a second over whole epochs, without their tests."""
    fit = [end - start for start, end in zip(result["starts"], result["ends"], strict=True)]
    seconds = [[epoch / result["images"] for epoch in epochs[1:]] for epochs in (fit, result["plain"])]
    return Comparison(*seconds).speed_row(what, "at least 4×")


def in_process(root: Path, epochs: int, *options: str) -> dict[str, Any]:
    """measure() in a process and on a terminal of its own, as a user's training has them."""
    with tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as run_dir:
        command = [sys.executable, "-m", "tests.benchmarks.gpu", "--measure", str(root), run_dir]
        run_in_terminal([*command, "--epochs", str(epochs), *options])
        return json.loads((Path(run_dir) / RESULT).read_text())


def measure(root: str, run_dir: str, epochs: int, workers: int | None, *options: str) -> dict[str, Any]:
    """Fit as a user would, and write what Clock saw to RUN_DIR/gpu.json.

    Args:
        root: Folder of CIFAR-100.
        run_dir: The run's folder.
        epochs: How many.
        workers: As Clock's.
        options: More of `sbn fit`.
    """
    clock = {"class_path": f"{Clock.__module__}.{Clock.__name__}", "init_args": {"workers": workers}}
    settings = {"run_dir": run_dir, "data.root": root, "trainer.devices": 1, "trainer.max_epochs": epochs}
    arguments = [f"--{name}={value}" for name, value in settings.items()]
    configs = ["--config=configs/cifar100_sbn.yaml", "--config=configs/fast.yaml"]
    cli = TrainerCLI("fit", [*configs, *arguments, f"--trainer.callbacks+={json.dumps(clock)}", *options], ExitStack())
    cli.run()
    seen = next(callback for callback in cli.trainer.callbacks if isinstance(callback, Clock))
    loader = cli.trainer.train_dataloader
    steps = int(cli.trainer.num_training_batches)
    result = {
        "starts": seen.starts,
        "ends": seen.ends,
        "plain": seen.plain,
        "images": min(len(loader.indices), steps * loader.batch_size),
        "accuracy": cli.trainer.callback_metrics["test_each_epoch/accuracy"].item(),
    }
    (Path(run_dir) / RESULT).write_text(json.dumps(result))
    return result


def main() -> None:
    """Print both rows; with --measure, be the process that trains."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.gpu", description=__doc__)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--measure", nargs=2, metavar=("ROOT", "RUN_DIR"), help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure(*arguments.measure, arguments.epochs, arguments.workers)
        return
    print("| what | ours | theirs | ratio | wanted |\n|---|---|---|---|---|", flush=True)
    for row in rows(arguments.epochs):
        print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    from tests.benchmarks import gpu  # not __main__, whose classes the parser cannot find by name

    gpu.main()
