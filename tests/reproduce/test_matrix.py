"""A grid as tables: a head a row, a seed a column."""

import io
from pathlib import Path

import pytest
from boards import finish, train
from rich.console import Console

from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.matrix import blocks, drawn
from sbn_lightning.reproduce.tables import digits_table, grid_from_file, paper_table
from sbn_lightning.run.records import RunState

DIGITS = "digits/SmallCNN/"


@pytest.fixture
def board(tmp_path: Path) -> Board:
    """Of the digits: of softmax two seeds are finished, of scaled batch normalization one is running, and so on."""
    board = Board(tmp_path, list(digits_table()), jobs=1)
    finish(board, f"{DIGITS}softmax/seed0", 9722)
    finish(board, f"{DIGITS}softmax/seed1", 9778)
    finish(board, f"{DIGITS}sbn/seed0", 10_000)
    train(board, f"{DIGITS}sbn/seed1", 3, 30, 0.91234)
    train(board, f"{DIGITS}am_softmax/seed0", 0, 30, None)
    board.mark(f"{DIGITS}am_softmax/seed1", RunState.RUNNING)
    board.mark(f"{DIGITS}pedcc/seed0", RunState.FAILED, "it ran out of memory")
    board.mark(f"{DIGITS}pedcc/seed1", RunState.STARTED)
    return board


def printed(board: Board, width: int, is_live: bool = True) -> list[str]:
    console = Console(file=(stream := io.StringIO()), width=width)
    for block in blocks(board, width):
        console.print(drawn(board, block, is_live))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def cells(line: str) -> list[str]:
    return [text.strip() for text in line.split("  ") if text.strip()]


def test_cell_is_the_test_accuracy_or_how_far_the_run_is(board: Board) -> None:
    title, head, *rows = printed(board, 120)
    assert title == "Digits, SmallCNN"
    assert cells(head) == ["seed 0", "seed 1", "seed 2", "mean ± std"]
    assert [cells(row) for row in rows] == [
        ["softmax", "0.9722", "0.9778", "waiting", "0.9750 ± 0.0040"],
        ["sbn", "1.0000", "epoch 3/30 0.9123", "waiting", "1.0000"],
        ["am_softmax", "epoch 0/30", "starting", "waiting"],
        ["pedcc", "failed", "waiting", "waiting"],
    ]
    board.running[f"{DIGITS}sbn/seed1"].trained = 1.0
    assert "testing" in printed(board, 120)[3]


def test_what_does_not_run_any_more_is_left_or_stopped(board: Board) -> None:
    *_, pedcc = printed(board, 120, is_live=False)
    assert cells(pedcc) == ["pedcc", "failed", "stopped", "left"]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int, board: Board) -> None:
    lines = printed(board, width)
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    texts = " ".join(lines)
    assert {40: "3/30", 80: " 3/30 0.912 ", 120: "epoch 3/30 0.9123"}[width] in texts


def test_many_seeds_are_in_several_tables_with_the_mean_of_all(tmp_path: Path) -> None:
    file = tmp_path / "grid.yaml"
    file.write_text("configs: [digits_sbn]\nseeds: [0, 1, 2, 3, 4, 5, 6]\n")
    board = Board(tmp_path, grid_from_file(file), jobs=1)
    for folder in board.runs:
        finish(board, folder, 9000)
    lines = printed(board, 80)
    seeds = [cells(line)[:-1] for line in lines if "seed" in line]
    assert [name for names in seeds for name in names] == [f"seed {seed}" for seed in range(7)]
    assert len(seeds) > 1
    assert sum("0.9000 ± 0.0000" in line for line in lines) == len(seeds)
    assert max(map(len, lines)) <= 80


def test_mean_takes_no_room_before_there_is_a_result(tmp_path: Path) -> None:
    board = Board(tmp_path, list(digits_table()), jobs=1)
    (table,) = blocks(board, 60)
    assert (table.seeds, table.has_mean) == ([0, 1, 2], False)
    finish(board, f"{DIGITS}softmax/seed0", 9722)
    assert all(table.has_mean for table in blocks(board, 60))


def test_single_seed_has_no_mean(tmp_path: Path) -> None:
    board = Board(tmp_path, [run for run in digits_table() if run.seed == 0], jobs=1)
    assert "mean" not in printed(board, 80)[1]


def test_each_dataset_and_backbone_has_a_table(tmp_path: Path) -> None:
    tables = blocks(Board(tmp_path, list(paper_table()), jobs=1), 80)
    assert [(table.dataset, table.backbone) for table in tables[:2]] == [
        ("CIFAR100", "LSoftmaxVGG"), ("CIFAR100", "ResNet18")
    ]  # fmt: skip
    assert len(tables) == 9
    assert [len(table.folders) for table in tables] == [24] * 9
