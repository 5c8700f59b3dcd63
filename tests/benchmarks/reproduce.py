"""What `sbn reproduce` costs over `sbn fit`, and what several runs at a time gain."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from tests.benchmarks.comparison import Row, compare, duration

REPETITIONS = 5
GRIDS = 2  # repetitions of a grid
EPOCHS = 5  # of 30; those of the digits grid are all alike
SBN = [sys.executable, "-m", "sbn_lightning"]


class NoteFirstStep(Callback):
    """Leaves a file when the first batch is about to be trained on, and ends the process."""

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        Path(os.environ["SBN_FIRST_STEP"]).touch()
        os._exit(0)


def rows() -> Iterator[Row]:
    """A run of one step, started by the runner and by hand; three runs at a time and one after another."""
    with tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as folder:
        numbers = count()
        data = ["--data.root", folder]
        step = [*data, f"--trainer.callbacks+={NoteFirstStep.__module__}.{NoteFirstStep.__name__}"]
        grid = ["reproduce", "--seeds", "0", "--heads", "sbn", *step, "--out"]
        fit = ["fit", "--config", "digits_sbn", *step, "--run_dir"]
        ours, theirs = (until_first_step(Path(folder), numbers, command) for command in (grid, fit))
        ours(), theirs()  # reads the files into memory, packs the digits
        yield overhead_row(*(getattr(compare(ours, theirs, REPETITIONS), name) for name in ("ours", "theirs")))
        three = ["reproduce", "--heads", "softmax", "sbn", "am_softmax", *data, "--trainer.max_epochs", str(EPOCHS)]
        together, in_turn = (whole(Path(folder), numbers, [*three, "--jobs", jobs, "--out"]) for jobs in ("3", "1"))
        what = f"digits grid, 9 runs of {EPOCHS} epochs, three at a time against one after another"
        yield compare(together, in_turn, GRIDS).time_row(what, "at most 1×")


def overhead_row(ours: list[float], theirs: list[float]) -> Row:
    """The difference, not the ratio: it does not depend on how long a run takes."""
    more = [our - their for our, their in zip(ours, theirs, strict=True)]
    lower, median, upper = statistics.quantiles(more, n=4, method="inclusive")
    return Row(
        "`sbn reproduce`, from its start to a run's first step, against `sbn fit`",
        duration(statistics.median(ours)),
        duration(statistics.median(theirs)),
        f"{median:.2f} s more ({lower:.2f} to {upper:.2f})",
        "under 2 s more",
    )


def until_first_step(folder: Path, numbers: Iterator[int], command: list[str]) -> Callable[[], float]:
    """How to measure a command, given a new folder as its last argument, from its start to a training's first step."""

    def measure() -> float:
        mark = folder / f"step{next(numbers)}"
        # The package `tests` is not installed; our callback is found in it by name.
        environment = os.environ | {"SBN_FIRST_STEP": str(mark), "PYTHONPATH": os.getcwd()}
        start = time.time()
        with contextlib.suppress(subprocess.CalledProcessError):  # a run that ends at its first step has failed
            subprocess.run(
                [*SBN, *command, str(folder / f"run{next(numbers)}")],
                env=environment, stdout=subprocess.DEVNULL, check=True,
            )  # fmt: skip
        return mark.stat().st_mtime - start

    return measure


def whole(folder: Path, numbers: Iterator[int], command: list[str]) -> Callable[[], float]:
    """How to measure a command, given a new folder as its last argument, from its start to its end."""

    def measure() -> float:
        start = time.perf_counter()
        subprocess.run([*SBN, *command, str(folder / f"run{next(numbers)}")], stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - start

    return measure
