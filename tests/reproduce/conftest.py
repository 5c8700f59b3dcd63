"""A grid of trainings that take no time."""

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_grid import FAKE, Grid

from sbn_lightning.reproduce import runner


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grid]:
    """The digits grid, whose runs do nothing; whatever is still alive at the end is killed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setattr(runner, "SBN", FAKE)
    monkeypatch.setattr(runner, "LOOK", 0.2)
    grid = Grid(tmp_path)
    yield grid
    for process in grid.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    for call in grid.calls():
        if Path(f"/proc/{call[-1]}/cmdline").exists() and "fake_sbn" in Path(f"/proc/{call[-1]}/cmdline").read_text():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(int(call[-1]), signal.SIGKILL)
