"""`sbn reproduce` with real trainings."""

import contextlib
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from fake_grid import wait_for

from sbn_lightning.run.grid_records import Grid
from sbn_lightning.run.records import Attempts, read_record, read_results

RUN = Path("grid/digits/SmallCNN/sbn/seed1")
COMMAND = [sys.executable, "-m", "sbn_lightning", "reproduce", "--out", "grid", "--seeds", "1", "--heads", "sbn"]
COMMAND += ["--model.backbone.width", "4", "--trainer.max_epochs", "10", "--trainer.callbacks", "null"]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[list[psutil.Process]]:
    """The processes of a test in an empty folder; they are killed at its end."""
    monkeypatch.chdir(tmp_path)
    package = str(Path(__file__).parents[2])
    for name, value in {"PYTHONPATH": package, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}.items():
        monkeypatch.setenv(name, value)
    processes: list[psutil.Process] = []
    yield processes
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def suspended_with(training: psutil.Process, checkpoint: Path) -> bool:
    """Suspend a training, but not while it writes its checkpoint."""
    training.suspend()
    if zipfile.is_zipfile(checkpoint):
        return True
    training.resume()
    return False


def test_kill_of_the_runner_and_of_the_run_loses_nothing(started: list[psutil.Process], digits_root: Path) -> None:
    command, checkpoint = [*COMMAND, "--data.root", str(digits_root)], RUN / "checkpoints/last.ckpt"
    first = psutil.Popen(command, stdout=subprocess.DEVNULL)
    started.append(first)
    wait_for(checkpoint.exists)
    (training,) = [child for child in first.children(recursive=True) if "fit" in child.cmdline()]
    started.append(training)
    wait_for(lambda: suspended_with(training, checkpoint))
    first.kill()
    first.wait(60)
    second = psutil.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    started.append(second)
    assert any("another command has started" in line for line in second.stdout)
    training.kill()
    output, _ = second.communicate(timeout=180)  # it continues the run that nobody trains any more
    assert second.returncode == 0, output
    results = read_results(RUN)
    assert results.fit is not None
    assert results.test is not None
    assert [epoch["epoch"] for epoch in results.fit.epochs] == list(range(1, 11))
    assert results.test.images == 360
    log = (RUN / "run.log").read_text().splitlines()
    assert [line.split()[2] for line in log if line.startswith("$ sbn")] == ["fit", "fit", "test"]
    assert sum(line.startswith("Continues") for line in log) == 1
    grid, record = read_record(Path("grid/grid.json"), Grid), read_record(RUN / "run.json", Attempts)
    assert grid is not None
    assert record is not None
    (entry,) = grid.runs
    assert (entry.dataset, entry.backbone, entry.label, entry.seed) == ("Digits", "SmallCNN", "sbn", 1)
    assert entry.settings == {"scale": 3.0}
    assert (record.attempts, record.error) == (1, None)
