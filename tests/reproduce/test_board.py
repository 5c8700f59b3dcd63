"""What is shown of a grid."""

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from sbn_lightning.reproduce.board import Board, duration, watch
from sbn_lightning.reproduce.tables import digits_table, paper_table
from sbn_lightning.run.records import RunState

SBN = "digits/SmallCNN/sbn/seed0"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path, list(digits_table()), jobs=2)


def finished(board: Board, folder: str, seconds: float) -> None:
    board.mark(folder, RunState.FINISHED)
    board.seconds[folder] = seconds


def test_time_left_is_what_finished_runs_took(board: Board) -> None:
    assert board.summary() == "0 done, 0 running, 12 left, 0 failed; time left not known yet"
    first, second, third, *others, last = board.runs
    finished(board, first, 200)
    finished(board, second, 280)
    assert board.expected(third) == 240
    assert board.time_left() == 10 * 240 / 2
    board.mark(third, RunState.RUNNING)
    board.started[third] -= 30
    assert board.time_left() == pytest.approx((9 * 240 + 210) / 2, abs=1)
    assert board.summary() == "2 done, 1 running, 9 left, 0 failed; about 20 min left"
    for folder in (third, *others):
        finished(board, folder, 240)
    assert board.time_left() == 240  # not 120, though two places are free
    board.mark(last, RunState.FINISHED)
    assert board.summary() == "12 done, 0 running, 0 left, 0 failed"


def test_runs_of_the_same_dataset_and_backbone_tell_most(tmp_path: Path) -> None:
    board = Board(tmp_path, list(paper_table()), jobs=1)
    finished(board, "cifar100/ResNet18/softmax/seed0", 100)
    assert board.expected("facescrub/ResNet50/softmax/seed0") == 100
    finished(board, "cifar100/ResNet50/softmax/seed0", 300)
    assert board.expected("cifar100/ResNet18/sbn-0.9/seed2") == 100
    assert board.expected("cifar100/LSoftmaxVGG/sbn-0.9/seed2") == 200


def test_plain_lines_tell_what_changed(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    watch(board, (board.mark(SBN, RunState.RUNNING) for _ in range(3)))
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "sbn" in line] == [f"running     {SBN}"]
    assert lines[-1].startswith("0 done, 1 running, 11 left, 0 failed")


def test_terminal_shows_running_trainings_and_how_far_they_are(board: Board, tmp_path: Path) -> None:
    assert board.details(SBN) == ""
    (tmp_path / SBN).mkdir(parents=True)
    metrics = tmp_path / SBN / "metrics.jsonl"
    metrics.write_text('{"step": 1, "val/accuracy": 0.9x}\n')
    assert board.details(SBN) == ""
    tag = "test_each_epoch/accuracy"
    rows = [{"step": 5}, {"step": 11, tag: 0.9}, {"step": 17, "train/batch_loss": 0.2}, {"step": 23, tag: 0.9722}]
    metrics.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    output = io.StringIO()
    steps = (board.mark(SBN, RunState.RUNNING) for _ in range(3))
    watch(board, steps, Console(file=output, force_terminal=True, width=100))
    assert f"{SBN}  0 s  epoch 2, accuracy 0.9722" in output.getvalue()
    assert "0 done, 1 running, 11 left" in output.getvalue()


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (120, "2 min"), (5400, "1.5 h"), (3e5, "3.5 days")]
)
def test_durations_are_readable(seconds: float, text: str) -> None:
    assert duration(seconds) == text
