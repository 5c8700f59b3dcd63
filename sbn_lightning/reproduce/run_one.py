"""One run from wherever it stands to its end: `sbn fit`, then `sbn test`, under the lock of its folder.

`python -m sbn_lightning.reproduce.run_one GRID_FOLDER RUN_FOLDER SBN...` does that in a process of its own, which a
runner starts, and which goes on if the runner is killed. The trainings inherit the lock's descriptor: if this process
is killed as well, the folder stays locked for as long as the training lives.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import Any

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.json_file import BrokenFileError
from sbn_lightning.reproduce.plan import stored_runs
from sbn_lightning.reproduce.run_folder import RunFolder, last_lines
from sbn_lightning.reproduce.settings import differences, settings_of
from sbn_lightning.reproduce.training import how_it_ended, start_training

SBN = (sys.executable, "-m", "sbn_lightning")
PATIENCE = 90.0  # seconds that a training has to save and end, once it was asked to
ASKED_TO_END = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP)
STOPPED = {128 + number for number in ASKED_TO_END} | {-number for number in ASKED_TO_END}


class Outcome(IntEnum):
    """How an attempt ended; the exit code of the supervising process."""

    FINISHED = 0
    FAILED = 1
    STOPPED = 3  # asked to end; the next start continues
    ELSEWHERE = 4  # somebody else is at it


class RunFailedError(Exception):
    """The run cannot go on; the text says why."""


class Supervisor:
    """Brings one run to its end.

    Args:
        root: The grid's folder.
        folder: The run's, relative to it.
        sbn: The command `sbn`.
        patience: Seconds to wait for somebody else in the folder to end.
    """

    def __init__(self, root: Path, folder: str, sbn: Sequence[str] = SBN, patience: float = 1.0) -> None:
        self.run = RunFolder(root / folder)
        self.root, self.folder, self.sbn, self.patience = root, folder, list(sbn), patience
        self.child: subprocess.Popen[bytes] | None = None
        self.signal: int | None = None

    def __call__(self) -> Outcome:
        """Returns how it ended; run.json and run.log say more.

        Raises:
            OSError: If run.json cannot be written.
        """
        descriptor = self.run.lock(self.patience)
        if descriptor is None:
            return Outcome.ELSEWHERE
        started = time.time()
        try:
            return self._attempt(descriptor, started)
        except (RunFailedError, BrokenFileError, UsageError, OSError) as error:
            self._record(started, state="failed", error=str(error))
            return Outcome.FAILED
        except BaseException:
            self._record(started)
            raise
        finally:
            os.close(descriptor)

    def ask_to_end(self, number: int, frame: FrameType | None = None) -> None:
        """Handler of a signal: the training gets it, saves, and ends; no other is started."""
        self.signal = number
        if self.child is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.child.pid, signal.SIGTERM if number == signal.SIGHUP else number)

    def wait_until_ended(self, seconds: float) -> None:
        """Wait for the training, after it was asked to end, from within a signal's handler: there this process may be
        anywhere in waiting for it already, and Popen's own lock may be taken."""
        end = time.monotonic() + seconds
        with contextlib.suppress(ChildProcessError):
            while self.child is not None and time.monotonic() < end:
                if os.waitid(os.P_PID, self.child.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    return
                time.sleep(0.05)

    def _attempt(self, descriptor: int, started: float) -> Outcome:
        if self.run.finished():
            return Outcome.FINISHED
        planned = stored_runs(self.root)[self.folder]
        self._check_config(planned)
        try:
            before = self.run.record()
        except BrokenFileError:
            before = {}  # of the runner's own notes: the run itself is not hurt
            (self.run.path / "run.json").unlink()
        self.run.update(
            state="running",
            attempts=before.get("attempts", 0) + 1,
            seconds=before.get("seconds", 0.0),
            error=None,
            config=planned["config"],
            runner=[socket.gethostname(), int(os.environ.get("SBN_RUNNER", os.getpid()))],
        )
        if not self.run.trained():
            ours = ["--trainer.enable_progress_bar", "false", "--auto_resume", "true"]
            fit = ["fit", *ours, *planned["arguments"], "--run_dir", str(self.run.path)]
            if not self._ends(fit, descriptor, self.run.trained):
                return self._stopped(started)
        config = self.run.path / "config.yaml"
        if not config.is_file() or not config.read_text(errors="replace").strip():
            raise RunFailedError(f"{config} is missing or empty, although the run is trained; {AGAIN}")
        test = ["test", "--config", str(config), "--run_dir", str(self.run.path)]
        if not self._ends(test, descriptor, self.run.finished):
            return self._stopped(started)
        self._record(started, state="finished", error=None)
        return Outcome.FINISHED

    def _check_config(self, planned: dict[str, Any]) -> None:
        """A file that was changed since the grid was started would mix two trainings in one table."""
        if changed := differences(planned["config"], settings_of(planned["arguments"])):
            raise RunFailedError(f"a config was changed while the grid ran: {'; '.join(changed)}")

    def _ends(self, arguments: list[str], descriptor: int, done: Callable[[], bool]) -> bool:
        """Carry out a command of `sbn`; False if it was asked to end before it was done."""
        if self.signal is not None:
            return False
        with self.run.log.open("ab") as log:
            start = log.tell()
            log.write(f"\n$ sbn {' '.join(arguments)}\n".encode())
            log.flush()
            self.child = start_training([*self.sbn, *arguments], log, descriptor)
            code = self._wait(self.child)
            self.child = None
        if done():
            return True
        if self.signal is not None or code in STOPPED:
            return False
        raise RunFailedError(f"sbn {arguments[0]} {how_it_ended(code)}\n{last_lines(self.run.log, start)}")

    def _wait(self, child: subprocess.Popen[bytes]) -> int:
        """The exit code; a training that does not end when asked to is killed with its workers."""
        asked: float | None = None
        while True:
            try:
                return child.wait(0.5)
            except subprocess.TimeoutExpired:
                if self.signal is not None and asked is None:
                    asked = time.monotonic()
                    self.ask_to_end(self.signal)  # the signal may have come before there was a child
                if asked is not None and time.monotonic() - asked > PATIENCE:
                    os.killpg(child.pid, signal.SIGKILL)

    def _stopped(self, started: float) -> Outcome:
        self._record(started)
        return Outcome.STOPPED

    def _record(self, started: float, **news: Any) -> None:
        """Add this attempt to run.json."""
        try:
            before = self.run.record()
        except BrokenFileError:
            before = {}
            (self.run.path / "run.json").unlink(missing_ok=True)
        seconds = before.get("seconds", 0.0) + time.time() - started
        self.run.update(attempts=before.get("attempts", 1), seconds=seconds, **news)


AGAIN = "move its folder away to train it anew"


def main(root: str, folder: str, *sbn: str) -> int:
    """The process that a runner starts."""
    supervisor = Supervisor(Path(root), folder, sbn)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1, signal.SIGHUP):
        signal.signal(number, supervisor.ask_to_end)
    try:
        return supervisor()
    except OSError as error:
        print(error, file=sys.stderr)
        return Outcome.FAILED


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
