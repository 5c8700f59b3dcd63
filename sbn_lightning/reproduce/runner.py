"""Runs on this machine: one from its present state to its end, and a grid of them, a limited number at a time.

`sbn fit` and `sbn test` are processes of their own sessions, which hold the lock of the run's folder themselves: if the
process that started one is killed, it goes on. A second lock, runner.lock, belongs to the process that starts them, so
that two runners do not start the same run, and that it is seen if a training goes on without its runner.
"""

import math
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

from sbn_lightning.errors import LockedError, UsageError, counted
from sbn_lightning.reproduce.board import LEFT, Board
from sbn_lightning.reproduce.grid import changes, note, notes, planned_runs, with_options
from sbn_lightning.run import files
from sbn_lightning.run.grid_records import PlannedRun
from sbn_lightning.run.lock import held, is_locked
from sbn_lightning.run.records import RunState, read_results

SBN: Sequence[str] = (sys.executable, "-m", "sbn_lightning")
OURS = ("--auto_resume", "true")
GRACE = 75.0  # seconds that a process has to save and exit after it was asked to
ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
STOPPED = {code for number in (*ENDING, getattr(signal, "SIGUSR1", 0)) for code in (128 + number, -number)} - {0}
TICK = 0.05  # seconds between two looks at the processes
LOOK = 2.0  # seconds between two looks at the runs that are not finished
RUNS_PER_CORE = 2  # more processes only push each other out of the caches


class Stop:
    """The signal that asks a runner to end: its processes save and exit, and no other one is started.

    Within its context, it takes the signals that end a command, but none that is ignored, as nohup has it.
    """

    number: int | None = None  # of the first signal

    def __call__(self, number: int, frame: FrameType | None = None) -> None:
        """Ask to end; a handler of signals."""
        self.number = self.number or number

    def __enter__(self) -> "Stop":
        taken = [number for number in ENDING if signal.getsignal(number) is not signal.SIG_IGN]
        self.handlers = {number: signal.signal(number, self) for number in taken}
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self.handlers.items():
            signal.signal(number, handler)


def run_grid(slots: Sequence[dict[str, str]], board: Board, stop: Stop) -> Iterator[None]:
    """Finish every run of a board, each with the environment of a slot; yields between two looks at the processes.

    A run that others have is waited for, and is continued if they stop.
    """
    if elsewhere := board.having(RunState.RUNNING):
        print(f"Waiting for {counted(len(elsewhere), 'run')} that another command has started")
    waiting = board.having(*LEFT, RunState.RUNNING)
    working: dict[int, tuple[str, Iterator[None]]] = {}  # by slot
    due = 0.0
    while working or (waiting and stop.number is None):
        if stop.number is None and time.monotonic() >= due:
            due = time.monotonic() + LOOK
            free = [slot for slot in range(len(slots)) if slot not in working]
            for slot, folder in zip(free, next_runs(board, waiting, len(free)), strict=False):
                waiting.remove(folder)
                board.mark(folder, RunState.RUNNING)
                working[slot] = folder, finish(board.root, board.runs[folder], slots[slot], stop)
        for slot, (folder, work) in list(working.items()):
            try:
                next(work)
                continue
            except StopIteration:
                board.look(folder)
            except LockedError:
                waiting.append(folder)
            except UsageError as error:
                board.look(folder)  # how long it took
                board.mark(folder, RunState.FAILED, str(error))
            del working[slot]
            due = 0.0
        yield


def next_runs(board: Board, waiting: list[str], free: int) -> list[str]:
    """Return which of the waiting runs can start in the free slots, and drop those that others have finished."""
    for folder in list(waiting):
        if board.look(folder) not in (*LEFT, RunState.RUNNING):
            waiting.remove(folder)
    elsewhere = [folder for folder in waiting if board.states[folder] is RunState.RUNNING]
    # A training whose runner was killed takes one of the slots.
    orphans = [folder for folder in elsewhere if not is_locked(board.root / folder, files.RUNNER_LOCK)]
    return [folder for folder in waiting if folder not in elsewhere][: max(0, free - len(orphans))]


def finish(root: Path, run: PlannedRun, environment: dict[str, str], stop: Stop) -> Iterator[None]:
    """Do what is left of a run, or as much as it can before it is asked to stop; yields while a process is at work.

    A run that another process has is a LockedError; one that has failed is a UsageError, and run.json says the same.
    """
    folder = root / run.folder
    with held(folder, files.RUNNER_LOCK) as is_ours:
        if not is_ours or is_locked(folder):
            raise LockedError(f"another process has {folder}")
        if stop.number is not None or read_results(folder).finished:
            return
        start, failure, test_seconds = time.time(), None, None
        try:
            if not read_results(folder).trained:
                planned = planned_runs(root).get(run.folder, run)
                if changed := changes(planned, with_options(run, [])):  # with the present content of its configs
                    raise UsageError(f"the run was changed after it was planned: {'; '.join(changed)}")
                note(folder, arguments=run.arguments)
                yield from _sbn(["fit", *OURS, *run.arguments], folder, environment, stop)
            if read_results(folder).trained and stop.number is None:
                trained = time.time()
                yield from _sbn(["test", "--config", str(folder / files.CONFIG)], folder, environment, stop)
                test_seconds = time.time() - trained
        except LockedError:
            raise
        except (UsageError, OSError) as error:
            failure = str(error)
        try:
            before = notes(folder)
            # A run that has not come as far as training may get other options.
            arguments = before.arguments if (folder / files.CONFIG).exists() else None
            seconds = before.seconds + time.time() - start
            more = {"seconds": seconds, "test_seconds": test_seconds, "error": failure, "arguments": arguments}
            note(folder, attempts=before.attempts + 1, **more)
        finally:
            if failure:  # comes before a run.json that cannot be written: the disk may be full
                raise UsageError(failure)


def _sbn(line: Sequence[str], folder: Path, environment: dict[str, str], stop: Stop) -> Iterator[None]:
    """Run a command, which prints into run.log, and ask it to end if the runner is; an error says why it has failed."""
    line = [*line, "--run_dir", str(folder)]
    # From the variables of a SLURM job, Lightning would conclude that srun starts a process for each GPU.
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("SLURM_")}
    with (folder / files.LOG).open("ab") as log:
        log.write(f"\n$ sbn {shlex.join(line)}\n".encode())
        log.flush()
        process = subprocess.Popen(
            [*SBN, *line], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            env=inherited | {"PYTHONUNBUFFERED": "1"} | environment,
            start_new_session=True,  # Ctrl-C in a terminal reaches it by way of stop
        )  # fmt: skip
    end = math.inf
    while process.poll() is None:
        if stop.number is not None and end == math.inf:
            end = time.monotonic() + GRACE
            process.terminate()
        elif time.monotonic() > end and hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)  # with all that it has started
        elif time.monotonic() > end:
            process.kill()
        yield
    if process.returncode == LockedError.exit_code:
        raise LockedError(f"another process has {folder}")
    results = read_results(folder)
    is_done = results.trained if line[0] == "fit" else results.finished
    if not is_done and stop.number is None and process.returncode not in STOPPED:
        early = "ended before its last epoch; a run of a grid has to train all of trainer.max_epochs"
        partly = "saw only a part of the test set; a run of a grid has to see all: omit trainer.limit_test_batches"
        how = {
            -9: "was killed (SIGKILL): the machine may have run out of memory; the same command continues it",
            0: partly if results.partial_test else early,
        }.get(process.returncode, f"ended with exit code {process.returncode}")
        raise UsageError(f"sbn {line[0]} {how}\n{last_lines(folder / files.LOG)}".rstrip())


def last_lines(log: Path) -> str:
    """Return the last twelve lines of a log; in run.log, of the last command."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        return f"{log} cannot be read: {error.strerror}"
    lines = re.split(r"^\$ sbn .*$", text, flags=re.MULTILINE)[-1].splitlines()
    return "\n".join([line.rstrip() for line in lines if line.strip()][-12:])


def visible_gpus() -> list[str]:
    """Return the names in CUDA_VISIBLE_DEVICES; if it is not set, the numbers of the GPUs that nvidia-smi lists."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name.strip() for name in visible.split(",") if name.strip() and not name.strip().startswith("-")]
    try:  # torch knows them as well, but takes seconds to import
        listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    return [str(number) for number, _ in enumerate(re.findall("^GPU ", listed, re.MULTILINE))]


def slots(jobs: int | None, accelerator: Any = None, devices: Any = None) -> tuple[list[dict[str, str]], str]:
    """Return the environment of each run that trains at a time, and in words what they are spread over.

    Several runs share a GPU if there are fewer GPUs, and divide the cores among them if there is none.

    Args:
        jobs: Number of runs at a time; None for one per GPU, or for one without a GPU.
        accelerator, devices: The runs' trainer.accelerator and trainer.devices, the number of GPUs for each.
    """
    gpus = [] if accelerator == "cpu" else visible_gpus()
    if gpus:
        each = len(gpus) if devices == -1 else int(devices) if isinstance(devices, int | float) else 1
        if each > len(gpus):
            raise UsageError(f"trainer.devices is {each}, but this machine shows {len(gpus)} GPUs ({', '.join(gpus)})")
        groups = [",".join(gpus[start : start + each]) for start in range(0, len(gpus) - each + 1, each)]
        jobs = jobs or len(groups)
        where = f"{jobs} at a time on GPU {' and '.join(groups[:jobs])}"
        return [{"CUDA_VISIBLE_DEVICES": groups[job % len(groups)]} for job in range(jobs)], where
    jobs, cores = jobs or 1, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if jobs > RUNS_PER_CORE * cores:
        raise UsageError(
            f"--jobs {jobs} is too many: this machine shows no GPU and has {cores} CPU cores; use --jobs "
            f"{RUNS_PER_CORE * cores} or fewer, or --cluster slurm. If there is a GPU that it does not show, name it "
            "in CUDA_VISIBLE_DEVICES"
        )
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, cores // jobs))
    where = f"{jobs} at a time on the CPU, {threads} thread{'' if threads == '1' else 's'} each"
    return [{"OMP_NUM_THREADS": threads}] * jobs, where
