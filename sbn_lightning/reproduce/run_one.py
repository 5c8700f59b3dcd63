"""One run of a grid, from its present state to its end: `sbn fit`, then `sbn test`.

Each of them is a process of its own session, which holds the lock of the run's folder itself: if the process that
started it is killed, it goes on. A second lock, runner.lock, belongs to the process that starts them, so that two
runners do not start the same run, and that it is seen if a training goes on without its runner.
"""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec

from sbn_lightning.errors import LockedError, UsageError
from sbn_lightning.reproduce.fit_options import configs_in, hashes
from sbn_lightning.reproduce.plan import changed_files, changes_since_start, notes
from sbn_lightning.run import files
from sbn_lightning.run.lock import held, is_locked
from sbn_lightning.run.records import PlannedRun, read_results, write_record

SBN: Sequence[str] = (sys.executable, "-m", "sbn_lightning")
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # Windows has no SIGKILL
GRACE = 90.0  # seconds that a process has to save and exit after it was asked to
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
STOPPED = {code for number in (*ENDING, getattr(signal, "SIGUSR1", 0)) for code in (128 + number, -number)} - {0}
OURS = ("--trainer.enable_progress_bar", "false", "--auto_resume", "true")
RUNNER_LOCK = "runner.lock"
TICK = 0.05  # seconds between two looks at a process


class Stop:
    """The signal that asks a runner to end: its processes save and exit, and no other one is started.

    Within its context, it takes the signals that end a command, but none that is ignored, as nohup has it.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self.times = 0
        self.since = 0.0

    def __call__(self, number: int, frame: FrameType | None = None) -> None:
        """Ask to end; a handler of signals."""
        self.since = self.since if self.times else time.monotonic()
        self.number, self.times = number, self.times + 1

    def wait(self, seconds: float) -> None:
        """Wait for some time, or until the signal comes."""
        end = time.monotonic() + seconds
        while self.number is None and time.monotonic() < end:
            time.sleep(TICK)

    def __enter__(self) -> "Stop":
        self.handlers = {number: signal.getsignal(number) for number in ENDING}
        for number, handler in self.handlers.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, self)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)


def finish(root: Path, run: PlannedRun, environment: dict[str, str], stop: Stop) -> Iterator[None]:
    """Do what is left of a run, or as much as it can before it is asked to stop; yields while a process is at work.

    Raises:
        LockedError: If another process has the run.
        UsageError: If the run has failed; run.json says the same.
    """
    folder = root / run.folder
    with held(folder, RUNNER_LOCK) as is_ours:
        if not is_ours or is_locked(folder):
            raise LockedError(f"another process has {folder}")
        began, failure = time.time(), None
        try:
            if stop.number is not None or read_results(folder).finished:
                return
            yield from _train_and_test(root, run, environment, stop)
        except LockedError:
            raise
        except (UsageError, OSError) as error:
            failure = str(error)
        with contextlib.suppress(UsageError) if failure else contextlib.nullcontext():  # a full disk: say the first
            before = notes(folder / files.RUN)
            # A run that has not come as far as training may get other options.
            arguments = before.arguments if (folder / files.CONFIG).exists() else None
            seconds = before.seconds + time.time() - began
            _note(folder, attempts=before.attempts + 1, seconds=seconds, error=failure, arguments=arguments)
        if failure:
            raise UsageError(failure)


def _train_and_test(root: Path, run: PlannedRun, environment: dict[str, str], stop: Stop) -> Iterator[None]:
    folder = root / run.folder
    if not read_results(folder).trained:
        if changes := changes_since_start(root, run):
            raise UsageError(f"another command started this run with other settings: {'; '.join(changes)}")
        if changes := changed_files(run.files, hashes(configs_in(run.arguments))):
            raise UsageError(f"a config was changed while the grid ran: {'; '.join(changes)}")
        _note(folder, arguments=run.arguments, files=run.files)
        yield from _sbn(["fit", *OURS, *run.arguments], folder, environment, stop)
    if read_results(folder).trained and stop.number is None:
        yield from _sbn(["test", "--config", str(folder / files.CONFIG)], folder, environment, stop)


def _sbn(line: Sequence[str], folder: Path, environment: dict[str, str], stop: Stop) -> Iterator[None]:
    """Run a command, which prints into run.log, and pass signals on to it; an error says why it has failed."""
    line = [*line, "--run_dir", str(folder)]
    with (folder / files.LOG).open("ab") as log:
        log.write(f"\n$ sbn {shlex.join(line)}\n".encode())
        log.flush()
        process = subprocess.Popen(
            [*SBN, *line], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env=child_environment() | environment,
            start_new_session=True,  # Ctrl-C in a terminal reaches it once, by way of stop
        )  # fmt: skip
    told = 0
    while process.poll() is None:
        if told < stop.times:
            told = stop.times
            process.send_signal(signal.SIGINT if stop.number == signal.SIGINT else signal.SIGTERM)
        elif told and time.monotonic() - stop.since > GRACE:
            kill_group(process)
        yield
    if process.returncode == LockedError.exit_code:
        raise LockedError(f"another process has {folder}")
    results = read_results(folder)
    is_done = results.trained if line[0] == "fit" else results.finished
    if not is_done and stop.number is None and process.returncode not in STOPPED:
        failure = how_it_ended(process.returncode, results.partial_test is not None)
        raise UsageError(f"sbn {line[0]} {failure}\n{last_lines(folder / files.LOG)}".rstrip())


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process with all that it has started, where the system has process groups."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, KILL)
    else:
        process.kill()


def how_it_ended(code: int, is_partly_tested: bool = False) -> str:
    """Return the end of a sentence about a process that did not do all of its work."""
    if code == -KILL:
        return "was killed (SIGKILL): the machine may have run out of memory; the same command continues it"
    if code:
        return f"ended with exit code {code}"
    if is_partly_tested:
        return "saw a part of the test set; a run of a grid is tested on all of it: omit trainer.limit_test_batches"
    return "ended before its last epoch; a run of a grid trains all of trainer.max_epochs"


def _note(folder: Path, **changes: Any) -> None:
    write_record(folder / files.RUN, msgspec.structs.replace(notes(folder / files.RUN), **changes))


def last_lines(log: Path, count: int = 12) -> str:
    """Return the last lines of a log; in run.log, of the last command."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - 8_000))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return f"{log} cannot be read: {error.strerror}"
    lines = re.split(r"^\$ sbn .*$", text, flags=re.MULTILINE)[-1].splitlines()
    return "\n".join([line.rstrip() for line in lines if line.strip()][-count:])


def child_environment() -> dict[str, str]:
    """Return this process's variables without those of a SLURM job; from them, Lightning would conclude that srun
    starts a process for each GPU."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    return kept | {"PYTHONUNBUFFERED": "1"}
