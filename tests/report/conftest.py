"""Runs to report on."""

from pathlib import Path

import pytest
from made_up_runs import SBN, SOFTMAX, write_run

from sbn_lightning.report.command import report


def write_runs(folder: Path) -> Path:
    """Softmax 70, 71, 72 and SBN 71, 72, 73 percent; seeds 0, 1, 2."""
    for seed in range(3):
        write_run(folder / f"softmax{seed}", 70 + seed, SOFTMAX, seed)
        write_run(folder / f"sbn{seed}", 71 + seed, SBN, seed)
    return folder


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Runs that a test may change."""
    return write_runs(tmp_path / "runs")


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same runs with their report, for tests that only read it."""
    folder = write_runs(tmp_path_factory.mktemp("reported") / "runs")
    report(folder)
    return folder
