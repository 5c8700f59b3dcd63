"""What is known of a grid: how long the rest may take."""

import time
from pathlib import Path

import pytest
from boards import finish, train

from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.tables import digits_table, paper_table
from sbn_lightning.run.records import RunState


@pytest.fixture
def board(tmp_path: Path) -> Board:
    return Board(tmp_path, list(digits_table()), jobs=2)


def test_time_left_is_what_finished_runs_took(board: Board) -> None:
    assert board.time_left() is None
    first, second, third, *others, last = board.runs
    finish(board, first, seconds=200)
    finish(board, second, seconds=280)
    assert board.time_left() == 10 * 240 / 2
    board.mark(third, RunState.RUNNING)
    board.running[third].since -= 30
    assert board.time_left() == pytest.approx((9 * 240 + 210) / 2, abs=1)
    for folder in (third, *others):
        finish(board, folder, seconds=240)
    assert board.time_left() == 240  # not 120, though two places are free
    finish(board, last)
    assert board.time_left() == 0
    assert board.seconds() == 200 + 280 + 9 * 240 + 100


def test_runs_of_the_same_dataset_and_backbone_tell_most(tmp_path: Path) -> None:
    board = Board(tmp_path, list(paper_table()), jobs=1)

    def expected(folder: str) -> float | None:
        return board.time_left_of(folder, time.time())

    finish(board, "cifar100/ResNet18/softmax/seed0", seconds=100)
    assert expected("facescrub/ResNet50/softmax/seed0") == 100
    finish(board, "cifar100/ResNet50/softmax/seed0", seconds=300)
    assert expected("cifar100/ResNet18/sbn-0.9/seed2") == 100
    assert expected("cifar100/LSoftmaxVGG/sbn-0.9/seed2") == 200


def test_own_pace_tells_before_any_run_is_finished(board: Board) -> None:
    running, waiting, *others = board.runs
    train(board, running, epoch=4, epochs=10, accuracy=None, seconds=70)
    assert board.time_left() is None
    board.running[running].first = time.time() - 30, 1  # 10 s an epoch
    now = time.time()
    assert board.time_left_of(running, now) == pytest.approx(60, abs=1)
    assert board.time_left_of(waiting, now) == pytest.approx(130, abs=1)
    assert board.time_left() == pytest.approx((60 + (len(others) + 1) * 130) / 2, abs=5)


def test_time_of_the_test_counts(board: Board) -> None:
    """Also where a training takes longer than those before."""
    *others, last = board.runs
    for folder in others:
        finish(board, folder, seconds=100, test=40)
    train(board, last, epoch=9, epochs=10, accuracy=None, seconds=500)
    assert board.time_left() == 40
    board.running[last].first = time.time() - 80, 1  # 10 s an epoch
    assert board.time_left() == pytest.approx(10 + 40, abs=1)
    board.running[last].trained = time.time() - 15
    assert board.time_left() == pytest.approx(25, abs=1)
