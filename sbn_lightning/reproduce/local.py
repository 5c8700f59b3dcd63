"""Runs a grid on this machine: one process per run, a limited number at a time."""

import time
from collections.abc import Iterator, Sequence

from sbn_lightning.errors import LockedError, UsageError
from sbn_lightning.reproduce.board import LEFT, Board
from sbn_lightning.reproduce.run_one import RUNNER_LOCK, TICK, Stop, finish
from sbn_lightning.run.lock import is_locked
from sbn_lightning.run.records import RunState

LOOK_ELSEWHERE = 2.0  # seconds between two looks at the runs that others have


class LocalRunner:
    """Finishes every run of a board. A run that others have is waited for, and is continued if they stop.

    Args:
        slots: The environment of each run that trains at a time.
        board: The runs; kept up to date.
        stop: Asks to end.
    """

    def __init__(self, slots: Sequence[dict[str, str]], board: Board, stop: Stop) -> None:
        self.slots, self.board, self.stop = slots, board, stop
        board.retry()
        self.elsewhere = board.having(RunState.RUNNING)
        self.waiting = board.having(*LEFT)
        self.running: dict[int, tuple[str, Iterator[None]]] = {}  # by slot
        self.orphans = 0  # trainings whose runner was killed
        self.looked = -LOOK_ELSEWHERE

    def __iter__(self) -> Iterator[None]:
        """Yield after each look at the runs, until all are finished."""
        if self.elsewhere:
            print(f"{len(self.elsewhere)} of them train already, started by another command: they are waited for")
        while self.running or (self.stop.number is None and (self.waiting or self.elsewhere)):
            self._look_elsewhere()
            self._start()
            for slot in list(self.running):
                self._go_on(slot)
            yield
            time.sleep(TICK)

    def _look_elsewhere(self) -> None:
        """Take a run again that no other process trains any more."""
        if time.monotonic() - self.looked < LOOK_ELSEWHERE:
            return
        self.looked = time.monotonic()
        free = [folder for folder in self.elsewhere if self.board.look(folder) is not RunState.RUNNING]
        self.elsewhere = [folder for folder in self.elsewhere if folder not in free]
        self.waiting = free + self.waiting
        self.orphans = sum(not is_locked(self.board.root / folder, RUNNER_LOCK) for folder in self.elsewhere)

    def _start(self) -> None:
        """Start as many runs as there are free slots; a training whose runner was killed takes one of the slots."""
        while self.stop.number is None and self.waiting and len(self.running) + self.orphans < len(self.slots):
            folder = self.waiting.pop(0)
            state = self.board.look(folder)
            if state is RunState.RUNNING:
                self.elsewhere.append(folder)
            elif state in LEFT:  # neither finished nor failed by another runner meanwhile
                slot = next(slot for slot in range(len(self.slots)) if slot not in self.running)
                self.board.mark(folder, RunState.RUNNING)
                work = finish(self.board.root, self.board.runs[folder], self.slots[slot], self.stop)
                self.running[slot] = (folder, work)

    def _go_on(self, slot: int) -> None:
        """Let a run go on, and free its slot if it is at its end."""
        folder, work = self.running[slot]
        try:
            next(work)
            return
        except StopIteration:
            if self.board.look(folder) is RunState.RUNNING:
                self.elsewhere.append(folder)
        except LockedError:
            self.board.mark(folder, RunState.RUNNING)
            self.elsewhere.append(folder)
        except UsageError as error:
            self.board.mark(folder, RunState.FAILED, str(error))
        del self.running[slot]
