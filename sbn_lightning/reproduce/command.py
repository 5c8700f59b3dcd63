"""The command `sbn reproduce`."""

import argparse
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

import filelock

from sbn_lightning.cli import CommandParser, UsageError, did_you_mean, find_config
from sbn_lightning.reproduce import devices, grid_file
from sbn_lightning.reproduce.board import Board, duration
from sbn_lightning.reproduce.grid import Run, chosen, store_runs, with_options
from sbn_lightning.reproduce.json_file import BrokenFileError
from sbn_lightning.reproduce.local import LocalRunner
from sbn_lightning.reproduce.progress import Progress
from sbn_lightning.reproduce.run_folder import RunFolder, State
from sbn_lightning.reproduce.settings import differences
from sbn_lightning.reproduce.supervisor import SBN
from sbn_lightning.reproduce.tables import TABLES

SECTIONS = ("config", "data", "model", "trainer", "optimizer", "lr_scheduler")  # options of sbn fit without a dot
FILTERS = ("datasets", "backbones", "heads", "seeds")
NAMES = ("partition", "account", "qos", "constraint")  # that SLURM takes as they are
USAGE = "[--table TABLE | --grid FILE] [--dry-run] [OPTIONS] [any option of sbn fit]"


def reproduce(arguments: Sequence[str], sbn: Sequence[str] = SBN) -> int:
    """Carry out `sbn reproduce`, given the command line after it.

    Args:
        sbn: The command that runs are made with.

    Returns:
        The exit code: 0 if all runs are done, 1 if one has failed or was stopped, 128 + n if signal n ended it.

    Raises:
        UsageError: If the arguments fit neither the parser, nor the machine, nor what lies in the grid's folder.
        OSError: If the grid's folder cannot be written.
    """
    options, passed = parser().parse_known_args(list(arguments))
    check_cluster(options)
    runs = [with_options(run, passed_on(passed)) for run in select(options)]
    root = Path(options.out or f"runs/reproduce_{options.grid.stem if options.grid else options.table}")
    check_begun(root, runs)
    if options.cluster:
        return on_cluster(root, runs, options, sbn)
    slots = devices.places(options.jobs, runs[0].config)
    board = Board(root, runs, len(slots))
    if options.dry_run:
        print(listing(board))
        return 0
    store(root, runs)
    try:
        prepare(board, sbn)
    except KeyboardInterrupt:
        return 130
    print(f"{len(runs)} runs in {root}/, {devices.names(slots)}", flush=True)
    runner = LocalRunner(board, slots, sbn)
    if runner.elsewhere:
        print(f"{len(runner.elsewhere)} of them train already, started by another command: they are waited for")
    with Progress(board) as show:
        number = runner(show)
    return ending(board, number)


def parser() -> CommandParser:
    """Of what is not an option of `sbn fit`."""
    parser = CommandParser("reproduce", USAGE)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = f"a FILE for --grid is\n{grid_file.__doc__}"
    grid = parser.add_mutually_exclusive_group()
    grid.add_argument("--table", choices=sorted(TABLES), default="digits", help="a grid that comes with sbn (digits)")
    grid.add_argument("--grid", type=Path, metavar="FILE", help="a YAML file with a grid of your own, see below")
    for name in FILTERS:
        parser.add_argument(f"--{name}", nargs="+", metavar="NAME", help=f"only these {name} of the grid")
    parser.add_argument("--out", metavar="DIR", help="the grid's folder (runs/reproduce_TABLE)")
    parser.add_argument("--jobs", type=int, metavar="N", help="runs at a time (one per GPU, or one on a CPU)")
    parser.add_argument("--dry-run", action="store_true", help="list the runs, what is done, what is left, how long")
    cluster = parser.add_argument_group("on a cluster")
    cluster.add_argument("--cluster", choices=["slurm"], help="submit the runs as one job array")
    for name in NAMES:
        cluster.add_argument(f"--{name}", metavar="NAME", help="as sbatch has it (the cluster's)")
    cluster.add_argument("--time", help="a run's limit, minutes or hh:mm; it continues after it (24:00)")
    cluster.add_argument("--gpus", type=int, metavar="N", help="for each run (1)")
    cluster.add_argument("--cpus", type=int, metavar="N", help="for each run (4)")
    cluster.add_argument("--memory", type=float, metavar="GB", help="for each run (the cluster's)")
    return parser


def check_cluster(options: argparse.Namespace) -> None:
    """Raises:
    UsageError: If an option for a cluster is given without one, or is out of its range.
    """
    for name in (*NAMES, "time", "gpus", "cpus", "memory"):
        if getattr(options, name) is not None and not options.cluster:
            raise UsageError(f"--{name} is for --cluster slurm; add that, or leave --{name} out")
    for name, least in (("gpus", 0), ("cpus", 1), ("jobs", 1)):
        if (value := getattr(options, name)) is not None and value < least:
            raise UsageError(f"--{name} is {value}; it is at least {least}")


def select(options: argparse.Namespace) -> list[Run]:
    """The runs that were asked for."""
    runs = grid_file.grid_from_file(options.grid) if options.grid else list(TABLES[options.table]())
    return chosen(runs, {name: getattr(options, name) for name in FILTERS})


def passed_on(arguments: Sequence[str]) -> list[str]:
    """Options of `sbn fit`; files get their whole path, since the command may be repeated from another folder."""
    for name in ("--run_dir", "--ckpt_path", "--auto_resume", "--seed_everything"):
        if any(argument.partition("=")[0] == name for argument in arguments):
            raise UsageError(f"{name} is set for each run by the grid; see --out and --seeds")
    own = list(parser()._option_string_actions)
    for argument in arguments:
        option = argument.partition("=")[0]
        if option.startswith("--") and "." not in option and option[2:] not in SECTIONS and did_you_mean(option, own):
            raise UsageError(f"there is no option {option}{did_you_mean(option, own)}")
    passed = list(arguments)
    for position, argument in enumerate(passed):
        key, equals, value = argument.partition("=")
        if key in ("--config", "-c") and equals:
            passed[position] = f"--config={whole_path(value)}"
        elif key in ("--config", "-c") and position + 1 < len(passed):
            passed[position + 1] = whole_path(passed[position + 1])
    return passed


def whole_path(config: str) -> str:
    """Of a config file; the name of a shipped one stays."""
    path = find_config(config)
    return str(Path(path).absolute()) if Path(config).exists() else config


def check_begun(root: Path, runs: Sequence[Run]) -> None:
    """Raises:
    UsageError: If a run was begun with other settings than it would have now.
    """
    changed = []
    for run in runs:
        try:
            begun = RunFolder(root / run.folder).record().get("config")
        except (BrokenFileError, OSError):
            continue  # shown as failed
        if begun is not None and (different := differences(begun, run.config)):
            changed.append(f"{run.folder}: {'; '.join(different)}")
    if changed:
        others = f"; and {len(changed) - 1} more runs" if len(changed) > 1 else ""
        raise UsageError(
            f"{root} holds runs that were begun with other settings: {changed[0]}{others}. Give the settings they were "
            "begun with, or another folder with --out DIR"
        )


def store(root: Path, runs: Sequence[Run]) -> None:
    """Write grid.json, one runner at a time."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(root / "grid.lock"):
            store_runs(root, runs)
    except BrokenFileError as error:
        raise UsageError(f"{error}; delete it, and start the same command again: it is written anew") from error
    except OSError as error:
        raise UsageError(f"{root} cannot be written: {error}") from error


def prepare(board: Board, sbn: Sequence[str], always: bool = False) -> None:
    """Pack each dataset once, before several runs would at the same time or fail for the same reason.

    Args:
        always: Also where the only run left could do it itself: a compute node may have no internet.
    """
    kinds: dict[str, list[str]] = {}
    for folder, run in board.runs.items():
        data = sorted((key, str(value)) for key, value in run.config.items() if key.partition(".")[0] == "data")
        kinds.setdefault(str(data), []).append(folder)
    for folders in kinds.values():
        begun = any((board.root / folder / "results.json").exists() for folder in folders)
        if (begun or len(folders) == 1) and not always:
            continue
        command = ["prepare", *board.runs[folders[0]].arguments]
        code = subprocess.run([*sbn, *command], stdin=subprocess.DEVNULL).returncode
        if code:
            raise UsageError(
                f"the data cannot be prepared, see above (sbn {shlex.join(command)} ended with exit code {code}); "
                "--datasets runs others"
            )


def listing(board: Board) -> str:
    """Each run with its state, and what is to be expected."""
    lines = []
    for folder, run in board.runs.items():
        lines.append(f"{board.states[folder].value:<10} {folder}  sbn fit {shlex.join(run.arguments)}")
        if folder in board.errors:
            lines += [f"           {line}" for line in board.errors[folder].splitlines()]
    return "\n".join([*lines, f"{len(board.runs)} runs in {board.root}/: {board.summary()}"])


def ending(board: Board, number: int | None) -> int:
    """Say what came out and what to do next."""
    for folder in board.having(State.FAILED):
        error = board.errors.get(folder, "").replace("\n", "\n    ")
        print(f"\nFAILED {folder}: {error}\n    the whole log: {board.folders[folder].log}")
    left = board.having(State.NEW, State.BEGUN)
    total = sum(board.seconds.values())
    print(f"\n{board.summary()}; {duration(total)} of training and tests in all")
    if left or board.having(State.FAILED):
        print("The same command goes on from here: it repeats nothing that is done, and tries again what failed.")
    print(f"Tables and figures of what is done: sbn report {board.root}", flush=True)
    if number is not None:
        return 128 + number
    return 1 if left or board.having(State.FAILED, State.RUNNING) else 0


def on_cluster(root: Path, runs: Sequence[Run], options: argparse.Namespace, sbn: Sequence[str]) -> int:
    """Submit what is left, and watch."""
    from sbn_lightning.reproduce import slurm

    gpus, cpus = (1 if options.gpus is None else options.gpus), options.cpus or 4
    names = {name: getattr(options, name) for name in NAMES}
    settings = slurm.slurm_options(options.time or "24:00", gpus, cpus, options.memory, options.jobs, **names)
    board = Board(root, runs, options.jobs or len(runs))
    left = board.having(State.NEW, State.BEGUN, State.FAILED)
    if options.dry_run:
        print(listing(board))
        if left:
            print(f"\n{slurm.script(root.absolute(), settings, len(left))}")
        return 0
    store(root, runs)
    with filelock.FileLock(root / "slurm.lock"):
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
