import csv
import math
from pathlib import Path

import numpy as np
import pytest

from sbn_lightning.errors import UsageError
from sbn_lightning.run.metrics_log import (
    append_lines,
    best_validation,
    epochs_of,
    metrics_line,
    read_metrics,
    shortest,
    values_after,
    write_table,
)

ROWS = {
    0: {"lr-SGD": 0.1},
    1: {"train/batch_loss": 2.5, "epoch": 1, "test_each_epoch/accuracy": 0.25, "train/accuracy": 0.5},
    3: {"train/accuracy": 0.75, "epoch": 2},
}


def test_a_step_is_a_row_of_the_table_and_a_tag_a_column(tmp_path: Path) -> None:
    write_table(tmp_path, ROWS)
    with open(tmp_path / "metrics.csv", newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows == [
        ["epoch", "step", "lr-SGD", "test_each_epoch/accuracy", "train/accuracy", "train/batch_loss"],
        ["", "0", "0.1", "", "", ""],
        ["1", "1", "", "0.25", "0.5", "2.5"],
        ["2", "3", "", "", "0.75", ""],
    ]


def test_epochs_hold_what_is_measured_over_whole_stages() -> None:
    assert epochs_of(ROWS) == [
        {"epoch": 1, "test_each_epoch/accuracy": 0.25, "train/accuracy": 0.5},
        {"epoch": 2, "train/accuracy": 0.75},
    ]


def test_what_is_logged_in_an_additional_epoch_belongs_to_the_last_one() -> None:
    assert [epoch["epoch"] for epoch in epochs_of({**ROWS, 5: {"train/accuracy": 0.8, "epoch": 3}}, last=2)] == [1, 2]


def test_values_after_the_last_step_leave_out_what_was_measured_before() -> None:
    assert values_after(ROWS, 4) == {"train/accuracy": 0.75}
    assert values_after(ROWS, 6) == {}


def test_best_validation_is_the_first_of_the_best_also_inside_an_epoch() -> None:
    accuracies = {2: 0.2, 5: 0.6, 8: 0.6, 11: 0.4}
    rows = {step: {"epoch": 1 + step // 6, "val/accuracy": accuracy} for step, accuracy in accuracies.items()}
    assert best_validation(rows, 12) == {"epoch": 1, "step": 6, "val/accuracy": 0.6}
    assert best_validation(rows, 5) == {"epoch": 1, "step": 3, "val/accuracy": 0.2}  # the others came later
    assert best_validation(ROWS, 4) is None


@pytest.mark.parametrize("as_table", [False, True])
def test_values_come_back_as_they_were(as_table: bool, tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == {}
    rows = {7: {"train/batch_loss": 0.1 + 0.2, "epoch": 3, "train/loss": float("inf")}}
    if as_table:
        write_table(tmp_path, rows)
    else:
        append_lines(tmp_path, [metrics_line(step, row) for step, row in rows.items()])
    assert read_metrics(tmp_path) == rows
    assert isinstance(read_metrics(tmp_path)[7]["epoch"], int)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("metrics.jsonl", "[1]\n"),
        ("metrics.jsonl", '{"step": 1, "train/loss": "low"}\n'),
        ("metrics.jsonl", '{"step": 1, "\\ud800": 1}\n'),
        ("metrics.csv", "epoch,step\n1,x\n"),
    ],
)
def test_a_damaged_file_is_named(name: str, content: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=f"{name} is damaged; remove it to continue"):
        read_metrics(tmp_path)


def test_numbers_of_float32_are_written_with_as_few_digits_as_tell_them_apart() -> None:
    for value in (0.18, 1 / 3, 7e-8, 4.2e30):
        of_torch = float(np.float32(value))
        assert np.float32(shortest(of_torch)) == np.float32(value)
        assert len(str(shortest(of_torch))) < 13
    assert shortest(0.18000000715255737) == 0.18


@pytest.mark.parametrize("value", [0.18, 1 / 3, 1e300, -1e300, 0.0, 0.5, 3.0, math.inf])
def test_other_numbers_stay_as_they_are(value: float) -> None:
    assert shortest(value) == value
    assert math.isnan(shortest(math.nan))
