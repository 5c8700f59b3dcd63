"""`sbn reproduce` with real trainings."""

import contextlib
import os
import signal
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fake_grid import wait_for

from sbn_lightning.run.records import Attempts, Grid, read_record, read_results

OPTIONS = ["--seeds", "1", "--heads", "sbn", "--model.backbone.width", "4", "--trainer.max_epochs", "10"]
OPTIONS += ["--trainer.callbacks", "null"]


class Reproduce:
    """Starts the command on a grid of one run in an empty folder."""

    def __init__(self, folder: Path, root: Path) -> None:
        self.folder = folder
        self.run = folder / "grid/digits/SmallCNN/sbn/seed1"
        self.arguments = [sys.executable, "-m", "sbn_lightning", "reproduce", "--out", "grid", "--data.root", str(root)]
        package = str(Path(__file__).parents[2])
        self.environment = os.environ | {"PYTHONPATH": package, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        self.started: list[subprocess.Popen[str]] = []
        self.trainings: list[psutil.Process] = []

    def __call__(self, *arguments: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [*self.arguments, *OPTIONS, *arguments], cwd=self.folder, text=True, start_new_session=True,
            env=self.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(process)
        return process

    def training(self, runner: "subprocess.Popen[str]") -> psutil.Process:
        """The process that trains for a runner."""
        (process,) = [child for child in psutil.Process(runner.pid).children(recursive=True) if is_fit(child)]
        self.trainings.append(process)
        return process


def suspended_with(training: psutil.Process, checkpoint: Path) -> bool:
    """Suspend a training, but not while it writes its checkpoint."""
    training.suspend()
    if zipfile.is_zipfile(checkpoint):
        return True
    training.resume()
    return False


def is_fit(process: psutil.Process) -> bool:
    """Whether it is `sbn fit`."""
    command = process.cmdline()
    return "fit" in command and "reproduce" not in command


@pytest.fixture
def reproduce(tmp_path: Path, digits_root: Path) -> Iterator[Reproduce]:
    reproduce = Reproduce(tmp_path, digits_root)
    yield reproduce
    for process in reproduce.started:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    for training in reproduce.trainings:
        with contextlib.suppress(psutil.NoSuchProcess):
            training.kill()


def test_kill_of_the_runner_and_of_the_run_loses_nothing(reproduce: Reproduce) -> None:
    first = reproduce()
    checkpoint = reproduce.run / "checkpoints/last.ckpt"
    wait_for(checkpoint.exists)
    training = reproduce.training(first)
    wait_for(lambda: suspended_with(training, checkpoint))
    os.kill(first.pid, signal.SIGKILL)
    second = reproduce()
    assert any("train already" in line for line in second.stdout or ())
    training.kill()
    output, _ = second.communicate(timeout=180)  # it continues the run that nobody trains any more
    assert second.returncode == 0, output
    results = read_results(reproduce.run)
    assert results.fit is not None
    assert results.test is not None
    assert [epoch["epoch"] for epoch in results.fit.epochs] == list(range(1, 11))
    assert results.test.images == 360
    log = (reproduce.run / "run.log").read_text().splitlines()
    commands = [line for line in log if line.startswith("$ sbn")]
    assert [command.split()[2] for command in commands] == ["fit", "fit", "test"]
    assert sum(line.startswith("Continues") for line in log) == 1
    grid = read_record(reproduce.folder / "grid/grid.json", Grid)
    assert grid is not None
    (entry,) = grid.runs
    assert (entry.dataset, entry.backbone, entry.label, entry.seed) == ("Digits", "SmallCNN", "sbn", 1)
    assert entry.settings == {"scale": 3.0}
    record = read_record(reproduce.run / "run.json", Attempts)
    assert record is not None
    assert (record.attempts, record.error) == (1, None)
