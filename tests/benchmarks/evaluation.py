"""The test set that a fit watches, with everything that is measured, shown and written, against a bare loop.

    python -m tests.benchmarks.evaluation ROOT RUN_DIR [OPTION ...]

is the process that measures, with a terminal for the progress bar; further options are those of `sbn fit`.
"""

import copy
import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from sbn_lightning.cli.trainer import TrainerCLI
from sbn_lightning.data.loader import EvaluationLoader
from tests.benchmarks.cifar100_files import cifar100
from tests.benchmarks.comparison import Comparison, Row
from tests.benchmarks.gpu import now
from tests.benchmarks.step_time import run_in_terminal

EPOCHS = 6
SIZES = (10_000, 5_000, 2_000, 512, 256, 128)  # that the bare loop may choose from
SECONDS = "seconds.json"


class Alternate(Callback):
    """Evaluates the test set by a bare loop before each validation, and once after the last.

    The bare loop takes the batch size that is fastest for it, of those that fit into memory; it counts nothing but the
    right predictions. The validation is timed with its callbacks, from its start to its end.

    Attributes:
        bare: Seconds of the bare loop.
        fit: Seconds of the validations.
        size: The bare loop's batch size.
    """

    def __init__(self) -> None:
        self.bare: list[float] = []
        self.fit: list[float] = []
        self.size = 0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self.size:
            tried = {self._bare_loop(trainer, pl_module, size): size for _ in range(2) for size in SIZES}
            self.size = tried[min(tried)]
        self.bare.append(self._bare_loop(trainer, pl_module, self.size))

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._start = now(pl_module.device)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.fit.append(now(pl_module.device) - self._start)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.bare.append(self._bare_loop(trainer, pl_module, self.size))

    def _bare_loop(self, trainer: Trainer, pl_module: LightningModule, size: int) -> float:
        """Return the seconds that it takes; infinity if the batches do not fit into memory."""
        data, device = trainer.datamodule, pl_module.device
        loader = EvaluationLoader(data._images, data._labels, data._indices["test"], size)
        parts = pl_module.normalization, pl_module.backbone, pl_module.head
        normalize, *net = (copy.deepcopy(part).eval() for part in parts)
        net = nn.Sequential(*net)
        start = now(device)
        try:
            with torch.inference_mode(), trainer.precision_plugin.forward_context():
                correct = torch.zeros((), dtype=torch.int64, device=device)
                for batch in loader:
                    moved = batch._replace(images=batch.images.to(device), labels=batch.labels.to(device))
                    images, labels = data.on_after_batch_transfer(moved, 0)
                    correct += (
                        net(normalize(images).to(memory_format=pl_module.memory_format)).argmax(1) == labels
                    ).sum()
        except torch.OutOfMemoryError:
            return float("inf")
        return now(device) - start


def rows() -> Iterator[Row]:
    """One row, of ResNet-18 as configs/fast.yaml trains it where there is a GPU, of SmallCNN on a CPU; each validation
    is compared with the mean of the bare loops before and after it."""
    on_gpu = torch.cuda.is_available()
    backbone, hardware = ("ResNet-18", torch.cuda.get_device_name()) if on_gpu else ("SmallCNN", "CPU")
    options = ["--config=configs/fast.yaml"] if on_gpu else ["--model.backbone=SmallCNN", "--trainer.accelerator=cpu"]
    with cifar100() as (data, images), tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as run_dir:
        command = [sys.executable, "-m", "tests.benchmarks.evaluation", str(data.root), run_dir, *options]
        run_in_terminal(command)
        result = json.loads((Path(run_dir) / SECONDS).read_text())
        what = f"watched test set, {backbone} on CIFAR-100 ({images} images), {hardware}, against a bare loop"
        yield comparison(result).speed_row(f"{what} with batches of {result['size']:,}", "at least 0.9×")


def comparison(result: dict[str, Any]) -> Comparison:
    """Seconds for an image; the first evaluation, in which a GPU compiles and tries its convolutions, is left out."""
    ours = result["fit"][1:]
    bare = [(before + after) / 2 for before, after in pairwise(result["bare"])][1:]
    return Comparison(*([seconds / result["images"] for seconds in all_seconds] for all_seconds in (ours, bare)))


def measure(root: str, run_dir: str, *options: str) -> dict[str, Any]:
    """Fit as a user would, with two steps in an epoch, and write what Alternate saw to RUN_DIR/seconds.json."""
    settings = {
        "run_dir": run_dir,
        "data.root": root,
        "trainer.callbacks+": f"{Alternate.__module__}.{Alternate.__name__}",
        "trainer.devices": 1,
        "trainer.max_epochs": EPOCHS,
        "trainer.limit_train_batches": 2,
        "trainer.log_every_n_steps": 2,
        "trainer.num_sanity_val_steps": 0,
    }
    configs = ["--config=configs/cifar100_sbn.yaml", *(option for option in options if option.startswith("--config"))]
    others = [option for option in options if not option.startswith("--config")]
    arguments = [*configs, *(f"--{name}={value}" for name, value in settings.items()), *others]
    cli = TrainerCLI("fit", arguments, ExitStack())
    cli.run()
    seen = next(callback for callback in cli.trainer.callbacks if isinstance(callback, Alternate))
    images = cli.datamodule.num_images["test"]
    result = {"bare": seen.bare, "fit": seen.fit, "size": seen.size, "images": images}
    (Path(run_dir) / SECONDS).write_text(json.dumps(result))
    return result


if __name__ == "__main__":
    from tests.benchmarks import evaluation  # not __main__, whose classes the parser cannot find by name

    evaluation.measure(*sys.argv[1:])
