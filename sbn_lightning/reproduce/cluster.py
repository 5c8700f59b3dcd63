"""`sbn reproduce --cluster slurm`: submits what is left of a grid, and watches."""

import argparse
from collections.abc import Sequence
from pathlib import Path

import filelock

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.grid import Run
from sbn_lightning.reproduce.plan import stored
from sbn_lightning.reproduce.prepare_data import prepare
from sbn_lightning.reproduce.progress import Progress, ending, listing
from sbn_lightning.reproduce.run_folder import State

NAMES = ("partition", "account", "qos", "constraint")  # that SLURM takes as they are


def add_options(parser: argparse.ArgumentParser) -> None:
    """Those of a cluster."""
    group = parser.add_argument_group("on a cluster")
    group.add_argument("--cluster", choices=["slurm"], help="submit the runs as one job array")
    for name in NAMES:
        group.add_argument(f"--{name}", metavar="NAME", help="as sbatch has it (the cluster's)")
    group.add_argument("--time", help="a run's limit: minutes, hh:mm:ss or d-hh; it continues after it (24:00:00)")
    group.add_argument("--gpus", type=int, metavar="N", help="for each run (1)")
    group.add_argument("--cpus", type=int, metavar="N", help="for each run (4)")
    group.add_argument("--memory", type=float, metavar="GB", help="for each run (the cluster's)")


def check_options(options: argparse.Namespace) -> None:
    """Raises:
    UsageError: If an option for a cluster is given without one, or is out of its range.
    """
    for name in (*NAMES, "time", "gpus", "cpus", "memory"):
        if getattr(options, name) is not None and not options.cluster:
            raise UsageError(f"--{name} is for --cluster slurm; add that, or leave --{name} out")
    for name, least in (("gpus", 0), ("cpus", 1), ("jobs", 1)):
        if (value := getattr(options, name)) is not None and value < least:
            raise UsageError(f"--{name} is {value}; it is at least {least}")


def run(root: Path, runs: Sequence[Run], options: argparse.Namespace, sbn: Sequence[str]) -> int:
    """Submit what is left, and watch."""
    from sbn_lightning.reproduce import slurm, slurm_script  # they import submitit

    gpus, cpus = (1 if options.gpus is None else options.gpus), options.cpus or 4
    names = {name: getattr(options, name) for name in NAMES}
    settings = slurm_script.slurm_options(options.time or "24:00:00", gpus, cpus, options.memory, options.jobs, **names)
    board = Board(root, runs, options.jobs or len(runs))
    left = board.having(State.NEW, State.BEGUN, State.FAILED)
    if options.dry_run:
        print(listing(board))
        if left:
            print(f"\n{slurm_script.script(root.absolute(), settings, len(left))}")
        return 0
    with stored(root, runs), filelock.FileLock(root / "slurm.lock"):
        jobs = slurm.known_jobs(root)
        living = slurm.alive(list(jobs.values()))
        if living is None:
            raise UsageError("there is no SLURM here (squeue does not answer): start it on a cluster's login node")
        left = [folder for folder in left if jobs.get(folder) not in living]
        if left:
            prepare(board, sbn, always=True)
            jobs = slurm.submit(board, left, settings, sbn)
    numbers = sorted({jobs[folder].partition("_")[0] for folder in runs_with_jobs(board, jobs)})
    print(f"{len(left)} jobs submitted. Jobs {', '.join(numbers)} run in {root}/; scancel ends them.", flush=True)
    try:
        with Progress(board) as show:
            slurm.watch(board, jobs, show)
    except KeyboardInterrupt:
        print("\nThe jobs go on. The same command watches again; scancel ends them: scancel", " ".join(numbers))
        return 130
    return ending(board, None)


def runs_with_jobs(board: Board, jobs: dict[str, str]) -> list[str]:
    """Unfinished runs that a job is there for."""
    return [folder for folder in board.runs if folder in jobs and board.states[folder] is not State.FINISHED]
