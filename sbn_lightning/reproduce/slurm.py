"""`sbn reproduce --cluster slurm`: submits what is left of a grid as one job array, and watches it.

Each job of the array is one run, with the same locks as everywhere. SLURM warns a job before its time is over or it is
preempted; then the training saves and exits, and submitit requeues the job, which continues. A cluster that sends
SIGTERM without a warning requeues a preempted job by itself, but not if it has ended by then: so the training saves,
and the job waits until it is killed.
"""

import contextlib
import math
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import submitit

from sbn_lightning.errors import LockedError, UsageError, counted
from sbn_lightning.reproduce import runner
from sbn_lightning.reproduce.board import LEFT, Board
from sbn_lightning.reproduce.grid import JOBS
from sbn_lightning.reproduce.runner import GRACE, TICK, Stop, finish, last_lines
from sbn_lightning.run import files
from sbn_lightning.run.grid_records import PlannedRun
from sbn_lightning.run.lock import is_locked
from sbn_lightning.run.records import RunState, read_record, run_state, write_record

WARNING = round(GRACE) + 15  # seconds before the end at which SLURM warns
TIMEOUTS = 1000  # a training that is longer than the time limit continues as often as it must
PATIENCE = 120.0  # seconds until a shared disk forgets the locks of a machine that went down
LOOK = 5.0  # seconds between two looks at the jobs


class SlurmRun(submitit.helpers.Checkpointable):
    """What a job does: it trains and tests a run, in the folder that `sbn reproduce` was started in."""

    def __init__(self, root: str, run: PlannedRun, working_folder: str, sbn: Sequence[str]) -> None:
        self.arguments = (root, run, working_folder, tuple(sbn))

    def __call__(self) -> str:
        """Return what became of the run; the UsageError of a failed run makes SLURM call the job failed as well."""
        root, run, working_folder, runner.SBN = self.arguments
        os.chdir(working_folder)
        if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
            os.environ.setdefault("OMP_NUM_THREADS", cpus)
        stop = Stop()
        # SLURM ends a job with SIGTERM, of which submitit only takes note. It warns with SIGUSR2; submitit's handler
        # requeues the job, but first the training has to end. Both come to all processes of a job: the training, which
        # SIGUSR2 would kill, inherits that it is blocked, and here it is looked for between two steps.
        signal.signal(signal.SIGTERM, stop)
        requeue = signal.signal(signal.SIGUSR2, stop)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
        folder, end = Path(root) / run.folder, time.monotonic() + PATIENCE
        while time.monotonic() < end and any(is_locked(folder, name) for name in (files.LOCK, files.RUNNER_LOCK)):
            time.sleep(1)
        with contextlib.suppress(LockedError):  # another process has the run
            for _ in finish(Path(root), run, {}, stop):
                if signal.sigtimedwait([signal.SIGUSR2], TICK):
                    stop.number = signal.SIGUSR2
        state = run_state(folder)
        signal.signal(signal.SIGUSR2, requeue)  # submitit's handler
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR2])
        if stop.number == signal.SIGUSR2:
            signal.raise_signal(signal.SIGUSR2)
        while stop.number == signal.SIGTERM and state is not RunState.FINISHED:
            # A job that ends by itself while it is preempted is not requeued. SLURM kills it after the partition's
            # GraceTime; if the signal did not come from SLURM, the warning of its time limit has it requeued.
            signal.pause()
        return state.value


def job_options(
    time: str = "24:00:00", gpus: int = 1, cpus: int = 4, memory: float | None = None, jobs: int | None = None,
    **names: str,
) -> dict[str, Any]:  # fmt: skip
    """Return the options of submitit's SLURM executor; memory is in GB, and jobs is the number of runs at a time."""
    options: dict[str, Any] = names | {
        "job_name": "sbn",
        "time": minutes(time),
        "gpus_per_node": gpus or None,
        "cpus_per_task": cpus,
        "mem": None if memory is None else f"{memory * 1024:.0f}MB",
        "signal_delay_s": WARNING,
        "array_parallelism": jobs or 1000,
        "additional_parameters": {"requeue": True},
        "stderr_to_stdout": True,
    }
    return {name: value for name, value in options.items() if value is not None}


def minutes(text: str) -> int:
    """Return the minutes of a time limit; `12:00`, which SLURM reads as minutes and seconds, is refused."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+):(\d+))?", text)
    days, hours, minute, second = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    if text.isdecimal():
        hours, minute = 0, hours
    seconds = ((days * 24 + hours) * 60 + minute) * 60 + second
    if seconds <= WARNING:
        raise UsageError(
            f"--time is {text!r}; it must be a number of minutes, hh:mm:ss (12:00:00 for twelve hours), d-hh or "
            "d-hh:mm:ss, and at least 2 minutes"
        )
    return math.ceil(seconds / 60)


def submit(board: Board, folders: Sequence[str], options: dict[str, Any]) -> dict[str, str]:
    """Submit one job array of these runs, and return {folder: job}."""
    root = board.root.absolute()
    try:
        executor = submitit.AutoExecutor(root / "slurm", cluster="slurm", slurm_max_num_timeout=TIMEOUTS)
        executor.update_parameters(**{f"slurm_{name}": value for name, value in options.items()})
        with executor.batch():
            runs = [SlurmRun(str(root), board.runs[folder], os.getcwd(), runner.SBN) for folder in folders]
            jobs = [executor.submit(run) for run in runs]
    except RuntimeError as error:
        raise UsageError(f"SLURM does not accept the jobs: {' '.join(str(error).split())}") from error
    return {folder: job.job_id for folder, job in zip(folders, jobs, strict=True)}


def living_jobs() -> set[str]:
    """Return the user's jobs that wait or run; an error if SLURM does not answer."""
    # Of all jobs: squeue fails when it is asked for those that it no longer knows.
    command = ["squeue", "--noheader", "--array", "--me", "--format=%i"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
    except (OSError, subprocess.SubprocessError) as error:
        text = "there is no SLURM here (squeue does not answer); start this on a login node of a cluster"
        raise UsageError(text) from error
    return set(answer.split())


def run_grid(options: dict[str, Any], board: Board, stop: Stop) -> Iterator[None]:
    """Submit the runs that are not finished and have no job yet, and look at all jobs until they are at their end.

    If it is asked to stop, the jobs go on. That there is no SLURM here, or that it refuses the jobs, is a UsageError.
    """
    jobs, living = read_record(board.root / JOBS, dict[str, str]) or {}, living_jobs()
    if left := [folder for folder in board.having(*LEFT) if jobs.get(folder) not in living]:
        jobs |= submit(board, left, options)
        write_record(board.root / JOBS, jobs)
    jobs = {folder: jobs[folder] for folder in board.having(*LEFT, RunState.RUNNING) if folder in jobs}
    arrays = " ".join(sorted({job.partition("_")[0] for job in jobs.values()}))
    print(f"{counted(len(left), 'job')} submitted, for {board.root}/; to end them: scancel {arrays}", flush=True)
    gone, due = set[str](), 0.0
    while jobs and stop.number is None:
        if time.monotonic() >= due:
            look(board, jobs, gone)
            due = time.monotonic() + LOOK
        yield
    if jobs:
        print(f"\nThe jobs go on. The same command watches them again; to end them: scancel {arrays}")


def look(board: Board, jobs: dict[str, str], gone: set[str]) -> None:
    """Look at jobs, {folder: job}, and drop those that are at their end.

    `gone` are those that SLURM no longer knew at the last look; a shared disk may show the end of a run a moment later.
    """
    try:
        living = living_jobs()
    except UsageError:
        living = set(jobs.values())  # SLURM may answer the next time
    for folder, job in list(jobs.items()):
        state = board.look(folder)
        if state is not RunState.FINISHED and (job in living or state is RunState.RUNNING):
            gone.discard(folder)
        elif state in LEFT and folder not in gone:
            gone.add(folder)
        else:
            del jobs[folder]
            if state in LEFT:
                log = last_lines(board.root / f"slurm/{job}_0_log.out")
                board.mark(folder, RunState.FAILED, f"its SLURM job {job} has ended before the run\n{log}")
