"""Boards of grids that nothing trains."""

import time

from sbn_lightning.reproduce.board import Board
from sbn_lightning.run.records import Attempts, Evaluation, FitResult, Results, RunState


def finish(board: Board, folder: str, correct: int = 9722, seconds: float = 100.0, test: float | None = None) -> None:
    """As if a run were finished, with so many of 10,000 images correct, after a number of seconds."""
    evaluation = Evaluation("last.ckpt", "test", 10_000, correct, {})
    board.results[folder] = Results(fit=FitResult(1.0, 3, {}), evaluations={"test": evaluation})
    board.notes[folder] = Attempts(seconds=seconds, test_seconds=test)
    board.mark(folder, RunState.FINISHED)


def train(board: Board, folder: str, epoch: int, epochs: int, accuracy: float | None, seconds: float = 0.0) -> None:
    """As if a run were training since a number of seconds, and an epoch had just ended."""
    board.mark(folder, RunState.RUNNING)
    running, now = board.running[folder], time.time()
    running.since, running.has_started = now - seconds, True
    running.epoch, running.epochs, running.accuracy = epoch, epochs, accuracy
    running.last = now, epoch
