"""Runs a grid on this machine: one process a run, so many at a time."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType

from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.json_file import BrokenFileError
from sbn_lightning.reproduce.run_folder import State
from sbn_lightning.reproduce.run_one import SBN, Outcome

LOOK_ELSEWHERE = 2.0  # seconds between two looks at runs that other runners train
TICK = 0.05
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
UNPREPARED = (-signal.SIGINT, -signal.SIGTERM, 128 + signal.SIGINT)  # ends of a supervisor without its handlers yet


class LocalRunner:
    """Brings every run of a board to its end, whoever does it: what another runner trains is waited for.

    Args:
        board: The runs; kept up to date.
        places: The environment of each run that trains at a time.
        sbn: The command `sbn`.
    """

    def __init__(self, board: Board, places: Sequence[dict[str, str]], sbn: Sequence[str] = SBN) -> None:
        self.board, self.places, self.sbn = board, list(places), list(sbn)
        self.waiting = board.having(State.NEW, State.BEGUN, State.FAILED)
        self.elsewhere = board.having(State.RUNNING)
        self.attempts = {folder: self._attempts(folder) for folder in board.runs}
        self.processes: dict[int, tuple[str, subprocess.Popen[str]]] = {}  # by place
        self.held: dict[str, int] = {}  # places of trainings that go on without their supervisor
        self.signal: int | None = None
        self.looked = 0.0
        for folder in self.waiting:
            if board.states[folder] is State.FAILED:
                board.mark(folder, State.BEGUN)

    def __call__(self, show: Callable[[], None] = lambda: None) -> int | None:
        """Run all.

        Args:
            show: Called after each look around.

        Returns:
            The signal that ended it, or None.
        """
        before = {number: signal.getsignal(number) for number in STOPPING}
        for number in STOPPING:
            if before[number] is not signal.SIG_IGN:  # nohup, or a shell's background job
                signal.signal(number, self._stop)
        try:
            while self.processes or (self.signal is None and (self.waiting or self.elsewhere)):
                self._start()
                self._collect()
                self._look_elsewhere()
                show()
                time.sleep(TICK)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
        return self.signal

    def _stop(self, number: int, frame: FrameType | None) -> None:
        """Pass a signal on: the runs save and end, and none is started any more."""
        self.signal = number
        for _, process in self.processes.values():
            pass_on(number, process)

    def _start(self) -> None:
        """Start what there is room for."""
        orphans = sum(self._is_orphan(folder) for folder in self.elsewhere) if self.waiting else 0
        while self.signal is None and self.waiting and len(free := self._free()) > orphans:
            folder = self.waiting.pop(0)
            if not self._is_left(folder):
                continue
            process = self._supervisor(folder, self.places[free[0]])
            self.processes[free[0]] = (folder, process)
            self.board.mark(folder, State.RUNNING)
            if self.signal is not None:  # it came before the process was known to _stop
                pass_on(self.signal, process)

    def _free(self) -> list[int]:
        """Places that no run of ours takes."""
        taken = {*self.processes, *self.held.values()}
        return [place for place in range(len(self.places)) if place not in taken]

    def _supervisor(self, folder: str, place: dict[str, str]) -> "subprocess.Popen[str]":
        """A process of its own session: it outlives this one, and Ctrl-C reaches it through us only, once."""
        command = [sys.executable, "-m", f"{__package__}.run_one", str(self.board.root), folder, *self.sbn]
        return subprocess.Popen(
            command,
            env=os.environ | place | {"SBN_RUNNER": str(os.getpid())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,  # a pipe of ours would stay open for as long as it lives
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _collect(self) -> None:
        """Take note of what has ended."""
        for place, (folder, process) in list(self.processes.items()):
            code = process.poll()
            if code is None:
                continue
            del self.processes[place]
            _, said = process.communicate()
            state = self.board.look(folder)
            if code == Outcome.ELSEWHERE or state is State.RUNNING:
                # Somebody else has it; or the supervisor was killed, and its training goes on.
                self.elsewhere.append(folder)
                if code != Outcome.ELSEWHERE:
                    self.held[folder] = place
            elif self.signal is not None and code in UNPREPARED:
                pass  # it had not come as far as the training
            elif state is not State.FINISHED and code not in (Outcome.STOPPED, Outcome.FINISHED):
                self._failed(folder, said.strip() or f"its supervising process ended with exit code {code}")

    def _failed(self, folder: str, said: str) -> None:
        if self.board.states[folder] is not State.FAILED:
            self.board.fail(folder, said)

    def _look_elsewhere(self) -> None:
        """Runs that others train: done, failed, or ours to continue once nobody is at them any more."""
        if time.monotonic() - self.looked < LOOK_ELSEWHERE:
            return
        self.looked = time.monotonic()
        for folder in list(self.elsewhere):
            state = self.board.look(folder)
            if state is not State.RUNNING:
                self.elsewhere.remove(folder)
                self.held.pop(folder, None)
                if state in (State.NEW, State.BEGUN):
                    self.waiting.insert(0, folder)

    def _is_left(self, folder: str) -> bool:
        """Whether a run is ours to start now; one that another runner has failed at meanwhile is not tried again."""
        state = self.board.look(folder)
        if state is State.RUNNING:
            self.elsewhere.append(folder)
            return False
        failed_meanwhile = state is State.FAILED and self._attempts(folder) != self.attempts[folder]
        return state is not State.FINISHED and not failed_meanwhile

    def _attempts(self, folder: str) -> int:
        try:
            return int(self.board.folders[folder].record().get("attempts", 0))
        except (BrokenFileError, OSError):
            return 0

    def _is_orphan(self, folder: str) -> bool:
        """Whether the runner that started a run on this machine is gone: the run then takes one of our places."""
        try:
            host, process = self.board.folders[folder].record()["runner"]
        except (BrokenFileError, OSError, KeyError, ValueError):
            return False
        return host == socket.gethostname() and not Path(f"/proc/{process}").exists() and Path("/proc/self").exists()


def pass_on(number: int, process: "subprocess.Popen[str]") -> None:
    """Have a supervisor end its training."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)
