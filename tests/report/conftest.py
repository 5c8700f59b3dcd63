"""Runs to report on."""

from pathlib import Path

import pytest
from made_up_runs import SBN, SOFTMAX, write_run


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Softmax 70, 71, 72 and SBN 71, 72, 73 percent; seeds 0, 1, 2."""
    for seed in range(3):
        write_run(tmp_path / "runs" / f"softmax{seed}", 70 + seed, SOFTMAX, seed)
        write_run(tmp_path / "runs" / f"sbn{seed}", 71 + seed, SBN, seed)
    return tmp_path / "runs"
