"""The command `sbn reproduce`."""

import contextlib
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.reproduce import runner
from sbn_lightning.reproduce.before_and_after import show_commands, show_end, show_plan
from sbn_lightning.reproduce.board import Board
from sbn_lightning.reproduce.fit_options import SECTIONS, absolute_config, options_in, settings
from sbn_lightning.reproduce.grid import LOCK, check, chosen, store, with_options
from sbn_lightning.reproduce.screen import watch
from sbn_lightning.reproduce.tables import TABLES, grid_from_file
from sbn_lightning.run.files import RESULTS
from sbn_lightning.run.grid_records import PlannedRun
from sbn_lightning.run.lock import held, is_locked
from sbn_lightning.terminal import show

SET_BY_THE_GRID = ("run_dir", "ckpt_path", "auto_resume", "seed_everything")


def reproduce(
    fit_options: Sequence[str] = (),
    *,
    table: Literal["digits", "family", "paper"] = "digits",
    grid: Path | None = None,
    datasets: list[str] | None = None,
    backbones: list[str] | None = None,
    heads: list[str] | None = None,
    seeds: list[int] | None = None,
    out: Path | None = None,
    jobs: int | None = None,
    dry_run: bool = False,
    verbose: bool = False,
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
        configs: [image_folder_softmax]     # or {config: FILE, label: birds}
        backbones: [ResNet18, SmallCNN]     # left out: the backbone of each config
        heads:                              # left out: the head of each config
          - SoftmaxHead
          - class: ScaledBatchNormHead
            label: sbn-3                    # left out: the class
            settings: {scale: 3.0}
            tuned_on: hold-out              # left out: nothing
            declared: true                  # false: shown, not compared
          - {class: my_heads.MyHead, settings: {width: 2}}
        seeds: [0, 1, 2]                    # left out: 0, 1, 2
        options: {trainer.max_epochs: 50}   # of sbn fit, for every run

    Args:
        fit_options: Options of `sbn fit`, for every run.
        table: A grid that comes with sbn: four heads on digits, all heads on digits, or the paper's Tables 1 to 3.
        grid: A YAML file with a grid of your own, see above; it takes the place of --table.
        datasets: Only these datasets of the grid.
        backbones: Only these backbones of the grid.
        heads: Only these heads of the grid, by class or label.
        seeds: Only these seeds of the grid.
        out: The grid's folder; default: runs/reproduce_TABLE.
        jobs: Number of runs at a time; default: one per GPU, or one on a CPU.
        dry_run: Show which runs are finished and which are left, and how long these may take; train nothing.
        verbose: Also print the whole `sbn fit` command of each run.
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
    """
    asked: dict[str, Any] = {"partition": partition, "account": account, "qos": qos, "constraint": constraint}
    asked |= {"time": time, "gpus": gpus, "cpus": cpus, "memory": memory}
    on_cluster = {name: value for name, value in asked.items() if value is not None}
    if on_cluster and not cluster:
        name = next(iter(on_cluster))
        raise UsageError(f"--{name} is for --cluster slurm; add that, or leave --{name} out")
    for name, value, least in (("gpus", gpus, 0), ("cpus", cpus, 1), ("jobs", jobs, 1)):
        if value is not None and value < least:
            raise UsageError(f"--{name} is {value}; it must be at least {least}")
    filters = {"datasets": datasets, "backbones": backbones, "heads": heads, "seeds": seeds}
    options = passed_on(fit_options)
    all_runs = grid_from_file(grid) if grid else list(TABLES[table]())
    runs = [with_options(run, options) for run in chosen(all_runs, filters)]
    root = out or Path(f"runs/reproduce_{grid.stem if grid else table}")
    if cluster:
        from sbn_lightning.reproduce import slurm  # imports submitit

        job = slurm.job_options(jobs=jobs, **on_cluster)
        where = f"as one job array of what is left: {', '.join(f'{name}={value}' for name, value in job.items())}"
    else:
        found = settings(runs[0].arguments)
        slots, where = runner.slots(jobs, found.get("trainer.accelerator"), found.get("trainer.devices"))
        jobs = len(slots)
    if verbose:
        show_commands(root, runs)
    if dry_run:
        check(root, runs)
        show_plan(Board(root, runs, jobs or len(runs)), where)
        return 0
    if cluster:
        slurm.living_jobs()  # raises an error if there is no SLURM, before the data are prepared
    with contextlib.ExitStack() as lock:
        if is_locked(root, LOCK):
            print(f"Another command is preparing {root}; waiting for it.", flush=True)
        lock.enter_context(held(root, LOCK, patience=-1))
        store(root, runs)
        prepare(root, runs, least=1 if cluster else 2)
        show(("Runs", f"{len(runs)} in {root}/, {where}"))
        board = Board(root, runs, jobs or len(runs))
        board.retry()
        with runner.Stop() as stop:
            steps = slurm.run_grid(job, board, stop) if cluster else runner.run_grid(slots, board, stop)
            next(steps, None)
            lock.close()  # the first runs have started, so no other command can change their settings any more
            watch(board, steps, stop)
    return show_end(board, stop)


def prepare(root: Path, runs: Sequence[PlannedRun], least: int) -> None:
    """Pack each dataset that at least `least` runs need, before several of them do so at once, or fail alike.

    Where `sbn prepare` says itself what is wrong, the command ends with its exit code.
    """
    kinds: dict[str, list[PlannedRun]] = {}
    for run in runs:
        data = {key: value for key, value in settings(run.arguments).items() if key.partition(".")[0] == "data"}
        kinds.setdefault(str(sorted(data.items())), []).append(run)
    for alike in kinds.values():
        if len(alike) < least or any((root / run.folder / RESULTS).exists() for run in alike):
            continue
        if len(kinds) > 1:
            show(("Preparing", f"{alike[0].dataset} (--datasets can leave it out)"))
        command = ["prepare", *alike[0].arguments]
        # In a session of its own, so that Ctrl-C ends it by way of this process, and is said once.
        with subprocess.Popen([*runner.SBN, *command], stdin=subprocess.DEVNULL, start_new_session=True) as process:
            try:
                code = process.wait()
            except BaseException:
                process.terminate()  # the next one removes what it has begun
                process.wait()
                raise
        if code == UsageError.exit_code:
            raise SystemExit(code)
        if code:
            raise UsageError(f"the data cannot be prepared: sbn {shlex.join(command)} ended with exit code {code}")


def passed_on(arguments: Sequence[str]) -> list[str]:
    """Return options of `sbn fit` with the whole paths of configs; an error if there is no such option, or if they set
    what the grid sets."""
    for option in (word.partition("=")[0] for word in arguments if word.startswith("--")):
        if (section := re.split(r"\W", option[2:])[0]) not in SECTIONS:
            close = did_you_mean(section, SECTIONS)
            raise UsageError(f"there is no option {option}{close}; see sbn reproduce --help, and sbn fit --help")
    passed = []
    for name, text in options_in(arguments):
        if name in SET_BY_THE_GRID:
            raise UsageError(f"--{name} is set for each run by the grid; see --out and --seeds")
        passed += [f"--{name}", absolute_config(text) if name == "config" else text]
    return passed
