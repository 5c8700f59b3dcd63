"""`sbn reproduce --cluster slurm`: submits what is left of a grid as one job array, and watches it.

Each job of the array is one run, with the same locks as everywhere. SLURM warns a job before its time is over or it is
preempted; submitit then calls `SlurmRun.checkpoint`, which has the training save and exit, and requeues the job, which
continues. A cluster that sends SIGTERM without a warning requeues a preempted job by itself, but not if it has ended
by then: so the training saves, and the job waits until it is killed.
"""

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import submitit

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce import run_one
from sbn_lightning.reproduce.board import LEFT, Board
from sbn_lightning.reproduce.plan import JOBS
from sbn_lightning.reproduce.run_one import RunProcess, last_lines
from sbn_lightning.run.files import whole_file
from sbn_lightning.run.lock import is_locked
from sbn_lightning.run.records import PlannedRun, RunState

WARNING = 90  # seconds before the end at which SLURM warns
SAVING = WARNING - 15.0  # seconds that a training may take to save and exit
TIMEOUTS = 1000  # a training that is longer than the time limit continues as often as it must
PATIENCE = 120.0  # seconds until a shared disk forgets the locks of a machine that went down
LOOK = 5.0  # seconds between two looks at the jobs


class SlurmRun:
    """What a job does.

    Args:
        root: The grid's folder.
        run: One of its runs.
        working_folder: The folder that `sbn reproduce` was started in.
        sbn: The command `sbn`.
    """

    def __init__(self, root: str, run: PlannedRun, working_folder: str, sbn: Sequence[str]) -> None:
        self.arguments = (root, run, working_folder, tuple(sbn))
        self.process: RunProcess | None = None

    def __call__(self) -> str:
        """Train and test the run, and return what became of it.

        Raises:
            RuntimeError: If the run fails, so that SLURM calls the job failed as well.
        """
        root, run, working_folder, sbn = self.arguments
        run_one.SBN = sbn
        os.chdir(working_folder)
        if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
            os.environ.setdefault("OMP_NUM_THREADS", cpus)
        self.process = process = RunProcess(Path(root), run)
        was_terminated = False

        def terminate(number: int, frame: FrameType | None) -> None:
            nonlocal was_terminated
            was_terminated = True
            process.stop(number)

        # SLURM ends a job with SIGTERM to all of its processes; submitit only takes note of it.
        signal.signal(signal.SIGTERM, terminate)
        end = time.monotonic() + PATIENCE
        while is_locked(process.folder) and time.monotonic() < end:
            time.sleep(1)
        if is_locked(process.folder) or not process.acquire(PATIENCE):
            return RunState.RUNNING.value
        state = process.start()
        while state is None:
            time.sleep(0.2)
            state = process.poll()
        if was_terminated and state is RunState.STARTED:
            wait_to_be_killed()
        if state is RunState.FAILED:
            raise RuntimeError(process.error)
        return state.value

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Have the training save and exit, and return what is to be requeued; submitit calls it when SLURM warns."""
        if self.process is not None:
            self.process.stop(signal.SIGTERM)
            self.process.wait(SAVING)
        return submitit.helpers.DelayedSubmission(SlurmRun(*self.arguments))


def wait_to_be_killed() -> None:
    """Wait for ever: a job that ends by itself while it is preempted counts as completed, and is not requeued. SLURM
    kills it after the partition's GraceTime; if the signal did not come from SLURM, the job is requeued at its time
    limit."""
    while True:
        signal.pause()


def job_options(
    time: str, gpus: int, cpus: int, memory: float | None, jobs: int | None, **names: str | None
) -> dict[str, Any]:
    """Return the options of submitit's SLURM executor.

    Args:
        time: The time limit of a run, see `minutes`.
        gpus, cpus: For each run.
        memory: GB for each run; None for the cluster's default.
        jobs: Number of runs at a time; None for as many as the cluster allows.
        names: partition, account, qos, constraint; None for the cluster's default.
    """
    options: dict[str, Any] = {name: value for name, value in names.items() if value is not None}
    options |= {"job_name": "sbn", "time": minutes(time), "cpus_per_task": cpus, "signal_delay_s": WARNING}
    options |= {"array_parallelism": jobs or 1000, "additional_parameters": {"requeue": True}, "stderr_to_stdout": True}
    if gpus:
        options["gpus_per_node"] = gpus
    if memory is not None:
        options["mem"] = f"{memory * 1024:.0f}MB"
    return options


def minutes(text: str) -> int:
    """Return the minutes of a time limit: `90`, `12:00:00`, `1-12` or `1-12:00:00` (days-hours).

    SLURM reads `12:00` as minutes and seconds, which most people do not mean; it is refused.

    Raises:
        UsageError: If it is not a time, or not longer than the time of the warning.
    """
    match = re.fullmatch(r"(?:(\d+)-)?(\d+)(?::(\d+):(\d+))?", text)
    days, first, middle, last = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, 0)
    is_clock = match is not None and (match[1] or match[3])
    seconds = ((days * 24 + first) * 60 + middle) * 60 + last if is_clock else 60 * first
    if seconds <= WARNING:
        raise UsageError(
            f"--time is {text!r}; it must be a number of minutes, hh:mm:ss (12:00:00 for twelve hours), d-hh or "
            "d-hh:mm:ss, and at least 2 minutes"
        )
    return -(-seconds // 60)


def submit(board: Board, folders: Sequence[str], options: dict[str, Any]) -> dict[str, str]:
    """Submit one job array of these runs.

    Returns:
        {folder: job}, with those of earlier commands.

    Raises:
        UsageError: If there is no SLURM here, or it refuses the job.
    """
    root = board.root.absolute()
    try:
        executor = submitit.AutoExecutor(root / "slurm", cluster="slurm", slurm_max_num_timeout=TIMEOUTS)
        executor.update_parameters(**{f"slurm_{name}": value for name, value in options.items()})
        with executor.batch():
            jobs = [
                executor.submit(SlurmRun(str(root), board.runs[folder], os.getcwd(), run_one.SBN)) for folder in folders
            ]
    except RuntimeError as error:
        raise UsageError(f"SLURM does not accept the jobs: {' '.join(str(error).split())}") from error
    known = known_jobs(root) | {folder: job.job_id for folder, job in zip(folders, jobs, strict=True)}
    with whole_file(root / JOBS) as file:
        json.dump(known, file, indent=1)
    return known


def known_jobs(root: Path) -> dict[str, str]:
    """Return {folder: the last job} of every run that a job was ever submitted for."""
    return json.loads((root / JOBS).read_bytes()) if (root / JOBS).exists() else {}


def alive(jobs: Sequence[str]) -> set[str] | None:
    """Return those of these jobs that wait or run; None if SLURM does not answer now."""
    try:
        # List all of the user's jobs: squeue fails when it is asked for jobs that it no longer knows.
        answer = subprocess.run(
            ["squeue", "--noheader", "--array", "--me", "--format=%i"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return set(answer.stdout.split()) & set(jobs) if answer.returncode == 0 else None


def submit_left(board: Board, options: dict[str, Any], prepare: Callable[[], None]) -> dict[str, str]:
    """Submit the runs that are not finished and have no job yet.

    Args:
        prepare: Called before anything is submitted; a compute node may have no internet.

    Returns:
        {folder: job} of the runs that are not finished.

    Raises:
        UsageError: If there is no SLURM here, or it refuses the job.
    """
    jobs = known_jobs(board.root)
    living = alive(list(jobs.values()))
    if living is None:
        raise UsageError("there is no SLURM here (squeue does not answer); start this on a login node of a cluster")
    left = [folder for folder in board.having(*LEFT, RunState.FAILED) if jobs.get(folder) not in living]
    if left:
        prepare()
        jobs = submit(board, left, options)
    jobs = {folder: jobs[folder] for folder in board.unfinished() if folder in jobs}
    print(
        f"{len(left)} jobs submitted. Jobs {array_numbers(jobs)} run in {board.root}/; scancel ends them.", flush=True
    )
    return jobs


def array_numbers(jobs: dict[str, str]) -> str:
    """Return the numbers of the arrays that jobs belong to, for scancel."""
    return " ".join(sorted({job.partition("_")[0] for job in jobs.values()}))


def watch(board: Board, jobs: dict[str, str], show: Callable[[], None], look: float = LOOK) -> None:
    """Look at the runs until each is finished, has failed, or has no job any more.

    Args:
        board: The runs; kept up to date.
        jobs: {folder: job}.
        show: Called after each look.
        look: Seconds between two looks.
    """
    watched = [folder for folder in board.unfinished() if folder in jobs]
    gone: set[str] = set()
    while watched:
        living = alive([jobs[folder] for folder in watched])
        for folder in list(watched):
            state = board.look(folder)
            if state is not RunState.FINISHED and (
                living is None or jobs[folder] in living or state is RunState.RUNNING
            ):
                gone.discard(folder)
                if state is RunState.FAILED:
                    board.mark(folder, RunState.STARTED)  # by an earlier attempt; it is tried again
            elif state is RunState.FINISHED or folder in gone:
                watched.remove(folder)
                if state in LEFT:
                    log = board.root / "slurm" / f"{jobs[folder]}_0_log.out"
                    board.fail(folder, f"its SLURM job {jobs[folder]} has ended before the run\n{last_lines(log)}")
            else:
                gone.add(folder)  # a shared disk may show the end of the run a moment later
        show()
        if watched:
            time.sleep(look)
