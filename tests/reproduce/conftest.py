"""A grid of trainings that take no time."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from fake_grid import Grid


@pytest.fixture
def grid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Grid]:
    """The digits grid, whose runs do nothing; whatever is still alive at the end is killed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    grid = Grid(tmp_path)
    yield grid
    for process in grid.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    for behaviour in ("wait", "ignore"):
        (tmp_path / behaviour).unlink(missing_ok=True)
