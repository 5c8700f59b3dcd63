"""The command `sbn reproduce`."""

import contextlib
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from sbn_lightning.config_files import find_config
from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce import devices, grid_file, plan, run_one
from sbn_lightning.reproduce.board import Board, Progress
from sbn_lightning.reproduce.fit_options import CONFIG, options_in, setting
from sbn_lightning.reproduce.grid import chosen, with_options
from sbn_lightning.reproduce.local import LocalRunner
from sbn_lightning.reproduce.tables import TABLES
from sbn_lightning.run.files import RESULTS
from sbn_lightning.run.records import PlannedRun

SET_BY_THE_GRID = ("run_dir", "ckpt_path", "auto_resume", "seed_everything")


def reproduce(
    fit_options: Sequence[str] = (),
    *,
    table: Literal["digits", "paper"] = "digits",
    grid: Path | None = None,
    datasets: list[str] | None = None,
    backbones: list[str] | None = None,
    heads: list[str] | None = None,
    seeds: list[int] | None = None,
    out: Path | None = None,
    jobs: int | None = None,
    dry_run: bool = False,
    cluster: Literal["slurm"] | None = None,
    partition: str | None = None,
    account: str | None = None,
    qos: str | None = None,
    constraint: str | None = None,
    time: str | None = None,
    gpus: int | None = None,
    cpus: int | None = None,
    memory: float | None = None,
) -> int:
    """Train and test a grid of runs.

    The same command continues after any interruption: it repeats nothing that is finished.

    A file for --grid gives configs × backbones × heads × seeds:

        # birds.yaml:  sbn reproduce --grid birds.yaml --data.root DIR
        configs: [image_folder_softmax]     # names or files, relative to this file; or {config: FILE, label: birds}
        backbones: [ResNet18, SmallCNN]     # left out: the backbone of each config
        heads:                              # left out: the head of each config
          - SoftmaxHead
          - class: ScaledBatchNormHead
            label: sbn-3                    # left out: the class
            settings: {scale: 3.0}
            tuned_on: hold-out              # left out: nothing
            declared: true                  # false for a head that is shown but not compared; left out: true
          - {class: my_heads.MyHead, settings: {width: 2}}
        seeds: [0, 1, 2]                    # left out: 0, 1, 2
        options: {trainer.max_epochs: 50}   # of sbn fit, for every run

    Args:
        fit_options: Options of `sbn fit`, for every run.
        table: A grid that comes with sbn.
        grid: A YAML file with a grid of your own, see above; it takes the place of --table.
        datasets: Only these datasets of the grid.
        backbones: Only these backbones of the grid.
        heads: Only these heads of the grid, by class or label.
        seeds: Only these seeds of the grid.
        out: The grid's folder; default: runs/reproduce_TABLE.
        jobs: Number of runs at a time; default: one per GPU, or one on a CPU.
        dry_run: List the runs, what is finished, what is left, and how long that may take.
        cluster: Submit the runs as one job array.
        partition: Of the cluster; default: the cluster's own.
        account: As sbatch takes it; default: the cluster's own.
        qos: As sbatch takes it; default: the cluster's own.
        constraint: As sbatch takes it; default: none.
        time: Time limit of a run on the cluster, as minutes, hh:mm:ss or d-hh; a run continues after it.
            Default: 24:00:00.
        gpus: Number for each run on the cluster; default: 1.
        cpus: Number of cores for each run on the cluster; default: 4.
        memory: GB for each run on the cluster; default: the cluster's own.

    Returns:
        0 if all runs are finished, 1 if one has failed or was stopped, 128 + n if signal n ended the command.

    Raises:
        UsageError: If the options do not fit each other, the machine, or what is in the grid's folder.
    """
    resources = {"time": time, "gpus": gpus, "cpus": cpus, "memory": memory}
    on_cluster = {"partition": partition, "account": account, "qos": qos, "constraint": constraint} | resources
    for name, value in on_cluster.items():
        if value is not None and not cluster:
            raise UsageError(f"--{name} is for --cluster slurm; add that, or leave --{name} out")
    for name, value, least in (("gpus", gpus, 0), ("cpus", cpus, 1), ("jobs", jobs, 1)):
        if value is not None and value < least:
            raise UsageError(f"--{name} is {value}; it must be at least {least}")
    numbers = [str(seed) for seed in seeds] if seeds is not None else None
    filters = {"datasets": datasets, "backbones": backbones, "heads": heads, "seeds": numbers}
    runs = chosen(grid_file.grid_from_file(grid) if grid else list(TABLES[table]()), filters)
    options = passed_on(fit_options)
    runs = plan.with_hashes([with_options(run, options) for run in runs])
    root = out or Path(f"runs/reproduce_{grid.stem if grid else table}")
    if cluster:
        return run_on_slurm(root, runs, jobs, dry_run, on_cluster)
    return run_here(root, runs, jobs, dry_run)


def run_here(root: Path, runs: list[PlannedRun], jobs: int | None, dry_run: bool) -> int:
    """Finish the runs on this machine, and return the exit code."""
    arguments = runs[0].arguments
    slots = devices.slots(jobs, setting(arguments, "trainer.accelerator"), setting(arguments, "trainer.devices"))
    plan.check(root, runs)
    board = Board(root, runs, len(slots))
    if dry_run:
        print(board.listing())
        return 0
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(plan.grid_lock(root))
            plan.check(root, runs)
            prepare(board)
            plan.store(root, runs)
        except KeyboardInterrupt:
            return 130
        print(f"{len(runs)} runs in {root}/, {devices.names(slots)}", flush=True)
        runner = LocalRunner(board, slots)
        if runner.elsewhere:
            print(f"{len(runner.elsewhere)} of them train already, started by another command: they are waited for")
        with Progress(board) as show:

            def shown() -> None:
                lock.close()  # the first runs have started, so no other command can change their settings any more
                show()

            number = runner(shown)
    return board.ending(number)


def run_on_slurm(
    root: Path, runs: list[PlannedRun], jobs: int | None, dry_run: bool, on_cluster: dict[str, Any]
) -> int:
    """Submit what is left, watch it, and return the exit code."""
    from sbn_lightning.reproduce import slurm  # imports submitit

    given: dict[str, Any] = {"time": "24:00:00", "gpus": 1, "cpus": 4, "memory": None}
    given |= {name: value for name, value in on_cluster.items() if value is not None}
    options = slurm.job_options(jobs=jobs, **given)
    plan.check(root, runs)
    board = Board(root, runs, jobs or len(runs))
    if dry_run:
        print(board.listing())
        print(f"One job array of what is left: {', '.join(f'{name}={value}' for name, value in options.items())}")
        return 0
    try:
        with plan.grid_lock(root):
            plan.check(root, runs)
            plan.store(root, runs)
            submitted = slurm.submit_left(board, options, lambda: prepare(board, always=True))
    except KeyboardInterrupt:
        return 130
    try:
        with Progress(board) as show:
            slurm.watch(board, submitted, show)
    except KeyboardInterrupt:
        print(
            "\nThe jobs go on. The same command watches them again; to end them: scancel",
            slurm.array_numbers(submitted),
        )
        return 130
    return board.ending(None)


def prepare(board: Board, always: bool = False) -> None:
    """Pack each dataset once, before several runs would do so at the same time or fail for the same reason.

    Args:
        always: Also where the only run left could do it itself.

    Raises:
        UsageError: If that fails.
    """
    kinds: dict[str, list[PlannedRun]] = {}
    for run in board.runs.values():
        data = [(key, text) for key, text in options_in(run.arguments) if key.partition(".")[0] == "data"]
        kinds.setdefault(str([data, setting(run.arguments, "data")]), []).append(run)
    for runs in kinds.values():
        has_started = any((board.root / run.folder / RESULTS).exists() for run in runs)
        if (has_started or len(runs) == 1) and not always:
            continue
        command = ["prepare", *runs[0].arguments]
        if code := subprocess.run([*run_one.SBN, *command], stdin=subprocess.DEVNULL).returncode:
            raise UsageError(
                f"the data cannot be prepared, see above (sbn {shlex.join(command)} ended with exit code {code}); "
                "choose others with --datasets"
            )


def passed_on(arguments: Sequence[str]) -> list[str]:
    """Return options of `sbn fit`, with the whole path of a config: the command may be repeated from another folder.

    Raises:
        UsageError: If they set what the grid sets for each run.
    """
    passed = []
    for option, text in options_in(arguments, as_written=True):
        if option.lstrip("-") in SET_BY_THE_GRID:
            raise UsageError(f"{option} is set for each run by the grid; see --out and --seeds")
        passed += [option, _whole_path(text) if option.lstrip("-") in CONFIG else text]
    return passed


def _whole_path(config: str) -> str:
    """The path of a config file; the name of a shipped config stays."""
    path = find_config(config)
    return str(Path(path).absolute()) if Path(config).exists() else config
