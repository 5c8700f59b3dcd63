from pathlib import Path

from sbn_lightning.callbacks import TrainingRecord


def test_continued_run_counts_the_seconds_of_all_starts(tmp_path: Path) -> None:
    record = TrainingRecord(tmp_path, 0)
    record.load_state_dict({"seconds": 100.0})
    assert 100 < record.state_dict()["seconds"] < 110
    assert record.state_key == "RunSummary"  # as in the checkpoints of commit 1d7cd34
