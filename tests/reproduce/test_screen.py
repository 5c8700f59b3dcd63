"""How a grid is shown while it runs."""

import io
import re
import signal
from pathlib import Path

import pytest
from boards import finish, train
from rich.console import Console

from sbn_lightning.reproduce import screen
from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.runner import Stop
from sbn_lightning.reproduce.screen import picture, summary, watch
from sbn_lightning.reproduce.tables import digits_table, paper_table
from sbn_lightning.run.records import RunState

SBN = "digits/SmallCNN/sbn/seed0"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.chdir(tmp_path)
    return Board(Path("runs/grid"), list(digits_table()), jobs=2)


@pytest.fixture
def paper(tmp_path: Path) -> Board:
    """The 216 runs of the paper's tables, of which one of Tiny ImageNet is at work."""
    board = Board(tmp_path, list(paper_table()), jobs=1)
    train(board, "tiny_imagenet/ResNet50/sbn-1/seed2", 12, 100, 0.5)
    return board


def lines_of(board: Board, width: int, height: int) -> list[str]:
    console = Console(file=(stream := io.StringIO()), width=width, height=height)
    console.print(picture(board, Stop(), width, height))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (80, 10), (40, 8)])
def test_tables_that_fit_are_shown_and_what_runs_comes_first(width: int, height: int, paper: Board) -> None:
    lines = lines_of(paper, width, height)
    assert len(lines) < height
    assert max(map(len, lines)) <= width
    assert lines[0] == "TinyImageNet, ResNet50"
    assert any(line.startswith("sbn-1 ") and "12/100" in line for line in lines)
    shown = sum(line.count("waiting") for line in lines) + 1
    assert f"… and {216 - shown} more runs" in lines
    assert lines[-1].startswith("0 done, 1 running, 215 left, 0 failed")


def test_everything_is_shown_where_it_fits(board: Board) -> None:
    lines = lines_of(board, 80, 24)
    assert len(lines) == 2 + 4 + 2
    assert not any("more run" in line for line in lines)


def test_summary_says_how_long_the_rest_may_take(board: Board) -> None:
    assert summary(board) == "0 done, 0 running, 12 left, 0 failed"
    *first, last = board.runs
    for folder in first:
        finish(board, folder, seconds=240, test=20)
    assert summary(board) == "11 done, 0 running, 1 left, 0 failed; about 4 min left"
    train(board, last, 30, 30, None)
    board.running[last].trained = 1.0
    assert summary(board) == "11 done, 1 running, 0 left, 0 failed; about to end"
    finish(board, last)
    assert summary(board) == "12 done, 0 running, 0 left, 0 failed"


def test_plain_lines_tell_what_changed_and_what_it_gave(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    changes = [
        lambda: board.mark(SBN, RunState.RUNNING),
        lambda: None,
        lambda: finish(board, SBN, 9722),
    ]
    watch(board, (change() for change in changes), Stop())
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "sbn" in line] == [
        "running     sbn/seed0",
        "finished    sbn/seed0  0.9722",
    ]
    assert lines[-1].startswith("1 done, 0 running, 11 left, 0 failed")
    assert len(lines) == 4


def test_plain_lines_of_a_long_training_say_how_far_it_is(
    board: Board, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(screen, "EVERY_LINE", 0.0)
    monkeypatch.setattr(Board, "look_at_running", lambda board: None)
    train(board, SBN, 3, 30, 0.9123)
    watch(board, iter([None, None]), Stop())
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "sbn" in line] == ["running     sbn/seed0  epoch 3/30 0.9123"] * 2


def test_terminal_shows_the_table_while_it_fills_and_clears_it_at_the_end(board: Board) -> None:
    console = Console(file=(stream := io.StringIO()), force_terminal=True, width=80, height=24, color_system=None)
    watch(board, (finish(board, SBN, 9722) for _ in range(2)), Stop(), console)
    text = stream.getvalue()
    assert re.search(r"sbn +0\.9722 +waiting +waiting +0\.9722", text)
    assert "1 done, 0 running, 11 left" in text
    assert text.endswith("\x1b[2K")  # erased, so that the end stands there once


def test_stop_is_said_at_once(board: Board) -> None:
    stop = Stop()
    stop(signal.SIGINT)
    train(board, SBN, 3, 30, 0.9123)
    assert summary(board, stop) == "0 done, 1 running, 11 left, 0 failed; stopping: the trainings save and end"
