"""What is said of a grid before and after it runs."""

import re
import signal
from pathlib import Path

import pytest
from boards import finish

from sbn_lightning.reproduce.before_and_after import show_end, show_plan
from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.runner import Stop
from sbn_lightning.reproduce.tables import digits_table, paper_table
from sbn_lightning.run.records import RunState

SBN = "digits/SmallCNN/sbn/seed0"


@pytest.fixture
def board(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Board:
    monkeypatch.chdir(tmp_path)
    return Board(Path("runs/grid"), list(digits_table()), jobs=2)


def test_end_is_the_table_the_last_line_once_and_the_next_command(
    board: Board, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in board.runs:
        finish(board, folder, 9722)
    assert show_end(board, Stop()) == 0
    text = capsys.readouterr().out
    assert len(re.findall(r"0\.9722 +0\.9722 +0\.9722 +0\.9722 ± 0\.0000", text)) == 4
    assert text.count("12 done, 0 running, 0 left, 0 failed; 20 min of training and tests") == 1
    assert "Continue" not in text
    assert f"Next        sbn report {board.root}\n" in text
    assert f"            tensorboard --host localhost --logdir {board.root}/digits/SmallCNN\n" in text
    assert text.endswith("/?smoothing=0&runColorGroup=regex:(.*)/seed shows the seeds of a head in one color\n")


def test_end_names_the_whole_grid_to_tensorboard_where_it_has_several_datasets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board = Board(tmp_path, list(paper_table()), jobs=1)
    finish(board, next(iter(board.runs)))
    show_end(board, Stop())
    assert f"--logdir {tmp_path}\n" in capsys.readouterr().out


def test_end_after_a_signal_says_how_to_continue(board: Board, capsys: pytest.CaptureFixture[str]) -> None:
    stop = Stop()
    stop(signal.SIGINT)
    board.mark(SBN, RunState.STARTED)
    assert show_end(board, stop) == 130
    text = " ".join(capsys.readouterr().out.split())
    assert "Continue with the same command: it repeats nothing that is finished" in text
    assert "report" not in text


@pytest.mark.parametrize("width", [80, 120])
def test_plan_is_a_table_no_line_of_which_is_too_wide(
    width: int, board: Board, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    finish(board, SBN, 9722)
    board.mark("digits/SmallCNN/softmax/seed2", RunState.FAILED, "sbn fit ended with exit code 1\nloss is NaN")
    show_plan(board, "1 at a time on the CPU")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= width
    assert not any(line.endswith(" ") for line in lines)
    assert re.match(r"softmax +left +left +failed", lines[2])
    assert re.match(r"sbn +0\.9722 +left +left", lines[3])
    assert "            loss is NaN" in lines
    assert "1 done, 0 running, 10 left, 1 failed" in " ".join(lines)
    assert lines[-1] == "Would run   1 at a time on the CPU"
    assert not any("--config" in line for line in lines)
