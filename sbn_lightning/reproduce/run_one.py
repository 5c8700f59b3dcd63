"""One run of a grid, from its present state to its end: `sbn fit`, then `sbn test`.

Each of them is a process of its own session, which holds the lock of the run's folder itself: if the process that
started it is killed, it goes on.
"""

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sbn_lightning.errors import LockedError, UsageError
from sbn_lightning.reproduce.fit_options import configs_in, hashes
from sbn_lightning.reproduce.plan import changed_files, changes_since_start
from sbn_lightning.run import files
from sbn_lightning.run.lock import FileLock, acquire
from sbn_lightning.run.records import (
    Attempts,
    BrokenRecordError,
    PlannedRun,
    RunState,
    read_record,
    read_results,
    write_record,
)

SBN: Sequence[str] = (sys.executable, "-m", "sbn_lightning")
GRACE = 90.0  # seconds that a process has to save and exit after it was asked to
STOPPING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]
STOPPED = {code for number in STOPPING for code in (128 + number, -number)}
OURS = ("--trainer.enable_progress_bar", "false", "--auto_resume", "true")
RUNNER_LOCK = "runner.lock"


class RunProcess:
    """Does what is left of a run, one process after the other.

    A second lock, runner.lock, belongs to the process that starts them, so that two runners do not start the same run,
    and that it is seen if a training goes on without its runner.

    Args:
        root: The grid's folder.
        run: Its folder is relative to root.
        environment: Variables of the processes, besides those of this one.
    """

    def __init__(self, root: Path, run: PlannedRun, environment: dict[str, str] | None = None) -> None:
        self.root, self.run, self.folder, self.environment = root, run, root / run.folder, environment or {}
        self.lock: FileLock | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.command = ""
        self.log_start = 0
        self.started = 0.0
        self.error = ""
        self.signal: int | None = None
        self.stopped_at = 0.0

    def acquire(self, patience: float = 0.0) -> bool:
        """Take the run for this process, unless another runner still has it after some seconds.

        Raises:
            OSError: If the run's folder cannot be written.
        """
        self.lock = acquire(self.folder, RUNNER_LOCK, patience)
        return self.lock is not None

    def release(self) -> None:
        """Leave the run to others."""
        if self.lock is not None:
            self.lock.release()

    def start(self) -> RunState | None:
        """Start the training, or the test of a run that is trained, after `acquire`; returns the same as `poll`."""
        self.started = time.time()
        return self._released(self._start)

    def poll(self) -> RunState | None:
        """Return None while a process trains or tests, and else what became of the run.

        FINISHED; FAILED, as run.json says; STARTED, if it was asked to stop; RUNNING, if another process has it.
        """
        code = self.process.poll() if self.process is not None else None
        if code is None:
            if self.process is not None and self.signal is not None and time.monotonic() - self.stopped_at > GRACE:
                os.killpg(self.process.pid, signal.SIGKILL)
            return None
        return self._released(lambda: self._ended(code))

    def stop(self, number: int) -> None:
        """Pass a signal on: the process saves and exits, and no other one is started."""
        self.stopped_at = self.stopped_at if self.signal is not None else time.monotonic()
        self.signal = number
        if self.process is not None and self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, signal.SIGINT if number == signal.SIGINT else signal.SIGTERM)

    def wait(self, seconds: float) -> None:
        """Wait for the process to end, in the handler of a signal: Popen itself may be in the middle of a wait."""
        end = time.monotonic() + seconds
        with contextlib.suppress(ChildProcessError):
            while self.process is not None and self.process.returncode is None and time.monotonic() < end:
                if os.waitid(os.P_PID, self.process.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None:
                    return
                time.sleep(0.05)

    def _released(self, action: Callable[[], RunState | None]) -> RunState | None:
        """What an action returns; errors are the run's, and the run is free again once it is no longer at work."""
        try:
            state = action()
        except (UsageError, OSError) as error:
            state = self._failed(str(error))
        if state is not None:
            self.release()
        return state

    def _start(self) -> RunState | None:
        results = read_results(self.folder)
        if results.finished:
            return RunState.FINISHED
        if self.signal is not None:
            return RunState.STARTED
        if results.trained:
            self._launch("test", "--config", str(self.folder / files.CONFIG))
            return None
        if changes := changes_since_start(self.root, self.run):
            return self._failed(f"another command started this run with other settings: {'; '.join(changes)}")
        if changes := changed_files(self.run.files, hashes(configs_in(self.run.arguments))):
            return self._failed(f"a config was changed while the grid ran: {'; '.join(changes)}")
        self._note(arguments=self.run.arguments, files=self.run.files)
        self._launch("fit", *OURS, *self.run.arguments)
        return None

    def _launch(self, command: str, *arguments: str) -> None:
        self.command = command
        line = [command, *arguments, "--run_dir", str(self.folder)]
        with (self.folder / files.LOG).open("ab") as log:
            self.log_start = log.tell()
            log.write(f"\n$ sbn {shlex.join(line)}\n".encode())
            log.flush()
            self.process = subprocess.Popen(
                [*SBN, *line],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=child_environment() | self.environment,
                start_new_session=True,  # Ctrl-C in a terminal reaches it once, by way of stop()
                preexec_fn=_ignore_warning if hasattr(signal, "SIGUSR2") else None,
            )
        if self.signal is not None:  # it came before the process was known to stop()
            self.stop(self.signal)

    def _ended(self, code: int) -> RunState | None:
        """What follows after a process that ended."""
        if code == LockedError.exit_code:
            return RunState.RUNNING
        results = read_results(self.folder)
        if results.finished:
            self._count()
            return RunState.FINISHED
        if self.command == "fit" and results.trained and self.signal is None:
            return self._start()
        if self.signal is not None or code in STOPPED:
            self._count()
            return RunState.STARTED
        return self._failed(
            f"sbn {self.command} {how_it_ended(code)}\n{last_lines(self.folder / files.LOG, self.log_start)}"
        )

    def _failed(self, error: str) -> RunState:
        with contextlib.suppress(UsageError):  # a full disk; the board says why the run failed
            self._count(error)
        self.error = error
        return RunState.FAILED

    def _count(self, error: str | None = None) -> None:
        """Add this attempt to run.json."""
        before = self._attempts()
        self._note(
            attempts=before.attempts + 1,
            seconds=before.seconds + time.time() - self.started,
            error=error,
            # A run that has not come as far as training may get other options.
            arguments=before.arguments if (self.folder / files.CONFIG).exists() else None,
        )

    def _note(self, **changes: Any) -> None:
        write_record(self.folder / files.RUN, msgspec.structs.replace(self._attempts(), **changes))

    def _attempts(self) -> Attempts:
        try:
            return read_record(self.folder / files.RUN, Attempts) or Attempts()
        except BrokenRecordError:
            return Attempts()  # only what the runner wrote down; the run itself is not damaged


def how_it_ended(code: int) -> str:
    """Return the end of a sentence about a process that did not do all of its work."""
    if code == -signal.SIGKILL:
        return "was killed (SIGKILL): the machine may have run out of memory; the same command continues it"
    if code:
        return f"ended with exit code {code}"
    return "ended before its last epoch; a run of a grid trains all of trainer.max_epochs"


def last_lines(log: Path, start: int = 0, count: int = 12) -> str:
    """Return the last lines of a log, from a byte on."""
    try:
        with log.open("rb") as file:
            file.seek(max(start, file.seek(0, os.SEEK_END) - 8_000))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError as error:
        return f"{log} cannot be read: {error.strerror}"
    return "\n".join([line.rstrip() for line in lines if line.strip()][-count:])


def child_environment() -> dict[str, str]:
    """Return this process's variables without those of a SLURM job; from them, Lightning would conclude that srun
    starts a process for each GPU."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    return kept | {"PYTHONUNBUFFERED": "1"}


def _ignore_warning() -> None:
    """SLURM sends SIGUSR2 to all processes of a job; it would kill a training, which the job stops itself."""
    signal.signal(signal.SIGUSR2, signal.SIG_IGN)
