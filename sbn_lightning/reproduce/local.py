"""Runs a grid on this machine: one process per run, a limited number at a time."""

import signal
import time
from collections.abc import Callable, Sequence
from types import FrameType

from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.run_one import RunProcess
from sbn_lightning.run.records import RunState

LOOK_ELSEWHERE = 2.0  # seconds between two looks at the runs that others train
TICK = 0.05
SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class LocalRunner:
    """Finishes every run of a board. A run that others train is waited for, and is continued if they stop.

    Args:
        board: The runs; kept up to date.
        slots: The environment of each run that trains at a time.
    """

    def __init__(self, board: Board, slots: Sequence[dict[str, str]]) -> None:
        self.board, self.slots = board, list(slots)
        for folder in board.runs:
            board.look(folder)
        self.elsewhere = board.having(RunState.RUNNING)
        self.waiting = [folder for folder in board.unfinished() if folder not in self.elsewhere]
        self.running: dict[int, RunProcess] = {}  # by slot
        self.orphans = 0  # trainings whose runner was killed
        self.signal: int | None = None
        self.looked = -LOOK_ELSEWHERE

    def __call__(self, show: Callable[[], None] = lambda: None) -> int | None:
        """Finish all runs.

        Args:
            show: Called after each look at the runs.

        Returns:
            The signal that ended it, or None.
        """
        for folder in self.board.having(RunState.FAILED):
            self.board.states[folder] = RunState.STARTED  # it is tried again
        before = {number: signal.getsignal(number) for number in SIGNALS}
        for number in SIGNALS:
            if before[number] is not signal.SIG_IGN:  # nohup, or a shell's background job
                signal.signal(number, self._stop)
        try:
            while self.running or (self.signal is None and (self.waiting or self.elsewhere)):
                self._look_elsewhere()
                self._start()
                self._collect()
                show()
                time.sleep(TICK)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return self.signal

    def _stop(self, number: int, frame: FrameType | None = None) -> None:
        """Pass a signal on: the runs save and exit, and no other one is started."""
        self.signal = number
        for process in self.running.values():
            process.stop(number)

    def _start(self) -> None:
        """Start as many runs as there are free slots; a training whose runner was killed takes one of the slots."""
        while self.signal is None and self.waiting and len(self.running) + self.orphans < len(self.slots):
            slot = next(slot for slot in range(len(self.slots)) if slot not in self.running)
            folder = self.waiting.pop(0)
            process = RunProcess(self.board.root, self.board.runs[folder], self.slots[slot])
            try:
                if not process.acquire():
                    self._leave(folder)
                    continue
                if not self._is_left(folder):
                    process.release()
                    continue
            except OSError as error:
                self.board.fail(folder, f"{process.folder} cannot be written: {error.strerror}")
                continue
            self.running[slot] = process  # before it starts, so that _stop knows it
            if self.signal is not None:
                process.stop(self.signal)
            self.board.mark(folder, RunState.RUNNING)
            self._settle(slot, process.start())

    def _collect(self) -> None:
        for slot, process in list(self.running.items()):
            self._settle(slot, process.poll())

    def _settle(self, slot: int, state: RunState | None) -> None:
        """Take note of what became of a run; None if it is still at work."""
        if state is None:
            return
        process = self.running.pop(slot)
        folder = process.run.folder
        if state is RunState.RUNNING:
            self._leave(folder)
        elif state is RunState.FAILED:
            self.board.fail(folder, process.error)
        else:
            self.board.look(folder)

    def _leave(self, folder: str) -> None:
        """Leave a run to the process that has it."""
        self.elsewhere.append(folder)
        self.board.mark(folder, RunState.RUNNING)

    def _is_left(self, folder: str) -> bool:
        """Whether a run is to be started now; one that another runner has failed at meanwhile is not tried again."""
        state = self.board.look(folder)
        if state is RunState.RUNNING:
            self._leave(folder)
        is_done = state in (RunState.RUNNING, RunState.FINISHED)
        return not is_done and not self.board.has_failed_meanwhile(folder)

    def _look_elsewhere(self) -> None:
        """Take a run again that no other process has any more."""
        if time.monotonic() - self.looked < LOOK_ELSEWHERE:
            return
        self.looked = time.monotonic()
        for folder in list(self.elsewhere):
            if not self.board.is_taken(folder):
                self.elsewhere.remove(folder)
                self.board.look(folder)
                self.waiting.insert(0, folder)
        self.orphans = sum(self.board.is_orphan(folder) for folder in self.elsewhere)
