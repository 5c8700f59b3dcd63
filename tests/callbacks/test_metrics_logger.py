import json
from pathlib import Path

import pytest

from sbn_lightning.callbacks import MetricsLogger
from sbn_lightning.errors import UsageError
from sbn_lightning.run.metrics_log import read_metrics, write_table


@pytest.fixture
def logger(tmp_path: Path) -> MetricsLogger:
    """Two epochs of two steps."""
    logger = MetricsLogger(str(tmp_path))
    logger.log_metrics({"lr-SGD": 0.1}, step=0)
    logger.log_metrics({"train/batch_loss": 2.5, "epoch": 0}, step=1)
    logger.log_metrics({"train/accuracy": 0.5, "epoch": 0}, step=1)
    logger.log_metrics({"train/accuracy": 0.75, "epoch": 1}, step=3)
    return logger


def test_each_save_appends_what_was_logged_since_the_last_one(logger: MetricsLogger, tmp_path: Path) -> None:
    logger.save()
    first = (tmp_path / "metrics.jsonl").read_text()
    assert [json.loads(line) for line in first.splitlines()] == [
        {"step": 0, "lr-SGD": 0.1},
        {"step": 1, "train/batch_loss": 2.5, "epoch": 1},
        {"step": 1, "train/accuracy": 0.5, "epoch": 1},
        {"step": 3, "train/accuracy": 0.75, "epoch": 2},
    ]
    logger.log_metrics({"train/batch_loss": 1.5, "epoch": 2}, step=4)
    logger.finalize("failed")
    added = '{"step": 4, "train/batch_loss": 1.5, "epoch": 3}\n'
    assert (tmp_path / "metrics.jsonl").read_text() == first + added


def test_a_continued_run_drops_what_came_after_its_checkpoint(logger: MetricsLogger, tmp_path: Path) -> None:
    logger.save()
    with open(tmp_path / "metrics.jsonl", "a") as stream:
        stream.write('{"step": 4, "train/ba')  # cut off by a kill
    continued = MetricsLogger(str(tmp_path), continues_at=2)
    continued.log_metrics({"train/accuracy": 0.8, "epoch": 1}, step=3)
    assert len(read_metrics(tmp_path)) == 3  # unchanged until training starts
    continued.save()
    assert read_metrics(tmp_path) == {
        0: {"lr-SGD": 0.1},
        1: {"train/batch_loss": 2.5, "epoch": 1, "train/accuracy": 0.5},
        3: {"train/accuracy": 0.8, "epoch": 2},
    }
    MetricsLogger(str(tmp_path)).save()  # of a new run, which takes nothing from a file that is there
    assert read_metrics(tmp_path) == {}


def test_a_run_of_an_earlier_version_continues_from_its_table(logger: MetricsLogger, tmp_path: Path) -> None:
    logger.save()
    rows = read_metrics(tmp_path)
    write_table(tmp_path, rows)
    (tmp_path / "metrics.jsonl").unlink()
    MetricsLogger(str(tmp_path), continues_at=3).save()
    assert read_metrics(tmp_path) == {step: row for step, row in rows.items() if step < 3}


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    logger = MetricsLogger(str(tmp_path))
    logger.save()
    (tmp_path / "metrics.jsonl").unlink()
    (tmp_path / "metrics.jsonl").mkdir()
    with pytest.raises(UsageError, match=r"metrics\.jsonl cannot be written \(Is a directory\)"):
        logger.save()
