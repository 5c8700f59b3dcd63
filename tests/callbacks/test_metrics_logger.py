import csv
from pathlib import Path

import pytest

from sbn_lightning.callbacks.metrics_csv import MetricsCSV, read_metrics


@pytest.fixture
def metrics(tmp_path: Path) -> MetricsCSV:
    """Two epochs of two steps."""
    metrics = MetricsCSV(str(tmp_path / "run"))
    metrics.log_metrics({"lr-SGD": 0.1}, step=0)
    metrics.log_metrics({"train/batch_loss": 2.5, "epoch": 0}, step=1)
    metrics.log_metrics({"test_each_epoch/accuracy": 0.25, "epoch": 0}, step=1)
    metrics.log_metrics({"train/accuracy": 0.5, "epoch": 0}, step=1)
    metrics.log_metrics({"train/accuracy": 0.75, "epoch": 1}, step=3)
    return metrics


def test_a_step_is_a_row_and_a_tag_a_column(metrics: MetricsCSV) -> None:
    metrics.write()
    with open(metrics.file, newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["epoch", "step", "lr-SGD", "test_each_epoch/accuracy", "train/accuracy", "train/batch_loss"],
        ["", "0", "0.1", "", "", ""],
        ["1", "1", "", "0.25", "0.5", "2.5"],
        ["2", "3", "", "", "0.75", ""],
    ]


def test_epochs_hold_what_is_measured_over_whole_stages(metrics: MetricsCSV) -> None:
    assert metrics.epochs() == [
        {"epoch": 1, "test_each_epoch/accuracy": 0.25, "train/accuracy": 0.5},
        {"epoch": 2, "train/accuracy": 0.75},
    ]


def test_a_continued_run_drops_what_came_after_its_checkpoint(metrics: MetricsCSV, tmp_path: Path) -> None:
    metrics.write()
    continued = MetricsCSV(str(tmp_path / "run"), continues_at=2)
    assert continued.rows == {step: row for step, row in metrics.rows.items() if step < 2}


def test_values_come_back_as_they_were(metrics: MetricsCSV) -> None:
    metrics.log_metrics({"train/batch_loss": 0.1 + 0.2, "train/loss": float("nan")}, step=7)
    metrics.write()
    row = read_metrics(metrics.file)[7]
    assert row["train/batch_loss"] == 0.1 + 0.2
    assert row["train/loss"] != row["train/loss"]


def test_a_new_run_takes_nothing_from_a_table_that_is_there(metrics: MetricsCSV, tmp_path: Path) -> None:
    metrics.write()
    assert MetricsCSV(str(tmp_path / "run")).rows == {}
