"""results.csv: a row for each epoch."""

import csv
from pathlib import Path

from sbn_lightning.run.epoch_table import epoch_rows, write_epoch_table

ROWS = {
    0: {"lr-SGD": 0.1},
    1: {"gradient/head_norm": 3.0, "train/batch_loss": 2.5, "epoch": 1},
    3: {"logits/std": 1.5, "val/loss": 2.0, "val/accuracy": 0.25, "train/loss": 1.9, "train/accuracy": 0.5, "epoch": 1},
    5: {"gradient/head_norm": 2.0, "val/accuracy": 0.3, "epoch": 2},  # a validation inside the epoch
    6: {"lr-SGD": 0.010000000000000002},
    7: {"logits/std": 1.75, "val/loss": 1.0, "val/accuracy": 0.5, "train/loss": 1.0, "train/accuracy": 0.7, "epoch": 2},
    8: {"logits/std": 9.0},
}  # fmt: skip


def test_an_epoch_is_a_row_and_no_cell_is_empty(tmp_path: Path) -> None:
    write_epoch_table(tmp_path, ROWS, {1: 10.0, 2: 14.5})
    with open(tmp_path / "results.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    names, *epochs = rows
    assert names[:4] == ["epoch", "step", "seconds", "lr-SGD"]
    assert names[4:] == ["train/accuracy", "train/loss", "val/accuracy", "val/loss", "logits/std"]
    assert epochs == [
        ["1", "4", "10.0", "0.1", "0.5", "1.9", "0.25", "2.0", "1.5"],
        ["2", "8", "4.5", "0.01", "0.7", "1.0", "0.5", "1.0", "1.75"],
    ]


def test_epoch_without_a_validation_has_none() -> None:
    rows = {1: {"train/accuracy": 0.5, "epoch": 1}, 3: {"train/accuracy": 0.6, "val/accuracy": 0.4, "epoch": 2}}
    first, second = epoch_rows(rows, {})
    assert first == {"epoch": 1, "step": 2, "train/accuracy": 0.5}
    assert second == {"epoch": 2, "step": 4, "train/accuracy": 0.6, "val/accuracy": 0.4}


def test_what_is_logged_in_an_additional_epoch_belongs_to_the_last_one() -> None:
    rows = ROWS | {9: {"val/accuracy": 0.625, "epoch": 3}}
    *_, last = epoch_rows(rows, {1: 10.0, 2: 14.5}, last=2)
    assert (last["epoch"], last["val/accuracy"], last["train/accuracy"]) == (2, 0.625, 0.7)


def test_times_of_epochs_that_an_older_version_trained_are_not_known() -> None:
    assert [row.get("seconds") for row in epoch_rows(ROWS, {2: 14.5})] == [None, None]
    assert [row.get("seconds") for row in epoch_rows(ROWS, {})] == [None, None]


def test_training_without_epochs_has_no_rows(tmp_path: Path) -> None:
    write_epoch_table(tmp_path, {0: {"lr-SGD": 0.1}}, {})
    assert (tmp_path / "results.csv").read_text() == "\n"
