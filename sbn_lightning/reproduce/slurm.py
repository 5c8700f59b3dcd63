"""Runs a grid on a SLURM cluster, as one job array.

Each job of the array is one run, under the lock of its folder as everywhere. SLURM warns a job before its time is over
or it is preempted; submitit then calls `SlurmRun.checkpoint`, which has the training save and end, and requeues the
job: it continues where it was. A cluster that sends SIGTERM without a warning requeues a preempted job by itself, but
not if it has ended by then: so the training saves, and the job waits to be killed.
"""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import submitit

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.json_file import read_json, write_json
from sbn_lightning.reproduce.run_folder import State, last_lines
from sbn_lightning.reproduce.run_one import SBN, Outcome, RunFailedError, Supervisor
from sbn_lightning.reproduce.slurm_script import WARNING

SAVING = WARNING - 15.0  # seconds that a training may take to save and end
TIMEOUTS = 1000  # a training longer than the time limit continues as often as it must
LOCK_PATIENCE = 120.0  # until a shared disk forgets the locks of a machine that went down
LOOK = 5.0


class SlurmRun:
    """What a job carries out.

    Args:
        root: The grid's folder.
        folder: The run's, relative to it.
        working_folder: Where `sbn reproduce` was started.
        sbn: The command `sbn`.
    """

    def __init__(self, root: str, folder: str, working_folder: str, sbn: Sequence[str] = SBN) -> None:
        self.arguments = (root, folder, working_folder, tuple(sbn))
        self.supervisor: Supervisor | None = None

    def __call__(self) -> str:
        """Train and test.

        Raises:
            RunFailedError: So that SLURM calls the job failed as well.
        """
        root, folder, working_folder, sbn = self.arguments
        os.chdir(working_folder)
        if cpus := os.environ.get("SLURM_CPUS_PER_TASK"):
            os.environ.setdefault("OMP_NUM_THREADS", cpus)
        self.supervisor = supervisor = Supervisor(Path(root), folder, sbn, LOCK_PATIENCE)
        terminated = False

        def terminate(number: int, frame: FrameType | None) -> None:
            nonlocal terminated
            terminated = True
            supervisor.ask_to_end(number)

        # SLURM ends a job by SIGTERM to all of its processes; submitit only takes note of it.
        signal.signal(signal.SIGTERM, terminate)
        outcome = supervisor()
        if terminated and outcome is Outcome.STOPPED:
            wait_to_be_killed()
        if outcome is Outcome.FAILED:
            raise RunFailedError(str(supervisor.run.record().get("error")))
        return outcome.name.lower()

    def checkpoint(self) -> submitit.helpers.DelayedSubmission:
        """Called in the job by submitit when SLURM warns: the training saves and ends; what is to be requeued."""
        if self.supervisor is not None:
            self.supervisor.ask_to_end(signal.SIGTERM)
            self.supervisor.wait_until_ended(SAVING)
        return submitit.helpers.DelayedSubmission(SlurmRun(*self.arguments))


def wait_to_be_killed() -> None:
    """A job that ends by itself while it is preempted counts as completed, and is not requeued. SLURM kills it after
    the partition's GraceTime; if it was no SLURM that sent the signal, its time limit requeues it."""
    while True:
        signal.pause()


def submit(board: Board, folders: Sequence[str], options: dict[str, Any], sbn: Sequence[str] = SBN) -> dict[str, str]:
    """Submit one job array of these runs.

    Returns:
        Folder -> job; with those of earlier commands, as they are kept in the grid's slurm.json.

    Raises:
        UsageError: If there is no SLURM here, or it refuses the job.
    """
    root = board.root.absolute()
    try:
        executor = submitit.AutoExecutor(root / "slurm", cluster="slurm", slurm_max_num_timeout=TIMEOUTS)
        executor.update_parameters(**{f"slurm_{name}": value for name, value in options.items()})
        with executor.batch():
            jobs = [executor.submit(SlurmRun(str(root), folder, os.getcwd(), sbn)) for folder in folders]
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"SLURM does not take the jobs: {reason}") from error
    known = known_jobs(root)
    known |= {folder: job.job_id for folder, job in zip(folders, jobs, strict=True)}
    write_json(root / "slurm.json", known)
    return known


def known_jobs(root: Path) -> dict[str, str]:
    """Folder -> job, as far as one was ever submitted."""
    return read_json(root / "slurm.json")


def alive(jobs: Sequence[str]) -> set[str] | None:
    """Those of these jobs that wait or run; None if SLURM does not answer now."""
    try:
        # All of the user's: asked for jobs that it has forgotten, squeue fails.
        answer = subprocess.run(
            ["squeue", "--noheader", "--array", "--me", "--format=%i"], capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    if answer.returncode:
        return None
    return set(answer.stdout.split()) & set(jobs)


def watch(board: Board, jobs: dict[str, str], show: Callable[[], None], look: float = LOOK) -> None:
    """Look at the runs until each is done, has failed, or has no job any more.

    Args:
        board: The runs; kept up to date.
        jobs: Folder -> job.
        show: Called after each look around.
        look: Seconds between two.
    """
    watched = [folder for folder in board.runs if folder in jobs and board.states[folder] is not State.FINISHED]
    gone: set[str] = set()
    while watched:
        living = alive([jobs[folder] for folder in watched])
        for folder in list(watched):
            state = board.look(folder)
            if state is not State.FINISHED and (living is None or jobs[folder] in living or state is State.RUNNING):
                gone.discard(folder)
                if state is State.FAILED:
                    board.mark(folder, State.BEGUN)  # by an earlier attempt: it is about to be tried again
            elif state is State.FINISHED or folder in gone:
                watched.remove(folder)
                if state in (State.NEW, State.BEGUN):
                    log = board.root / "slurm" / f"{jobs[folder]}_0_log.out"
                    board.fail(folder, f"its SLURM job {jobs[folder]} has ended before the run\n{last_lines(log)}")
            else:
                gone.add(folder)  # a shared disk may show its last word a moment later
        show()
        if watched:
            time.sleep(look)
