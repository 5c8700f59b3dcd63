"""grid.json, the plan of a grid's folder: the runs that it holds, and what may still be changed about them."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sbn_lightning.config_files import read_yaml
from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.fit_options import changed_options, configs_in, hashes
from sbn_lightning.run import files
from sbn_lightning.run.lock import acquire, is_locked
from sbn_lightning.run.records import Attempts, BrokenRecordError, Grid, PlannedRun, read_record, write_record

LOCK = "grid.lock"
JOBS = "slurm.json"  # the SLURM job of each run
DESCRIPTION = ("dataset", "tuned_on", "declared", "paper")  # said about a run before its result is known
INSTEAD = "Give the options that it was started with, or another folder with --out DIR"


@contextlib.contextmanager
def grid_lock(root: Path) -> Iterator[None]:
    """Hold the folder of a grid while one command checks it, prepares its data and writes its plan.

    Raises:
        UsageError: If the folder cannot be written.
    """
    try:
        lock = acquire(root, LOCK, patience=1.0)
        if lock is None:
            print(f"Another command prepares {root}; waiting for it.", flush=True)
            lock = acquire(root, LOCK, patience=-1)
    except OSError as error:
        raise UsageError(f"{root} cannot be written: {error.strerror or error}") from error
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def with_hashes(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return the runs, each with the hashes of the YAML files that its options name."""
    cached = functools.cache(hashes)  # many runs have the same configs
    return [msgspec.structs.replace(run, files=cached(configs_in(run.arguments))) for run in runs]


def planned_runs(root: Path) -> dict[str, PlannedRun]:
    """Return {folder: run} of grid.json.

    Raises:
        BrokenRecordError: If it has invalid content.
    """
    grid = read_record(root / files.GRID, Grid) or Grid()
    return {run.folder: run for run in grid.runs}


def store(root: Path, runs: Sequence[PlannedRun]) -> None:
    """Write grid.json: these runs, and those of earlier commands in the same folder."""
    write_record(root / files.GRID, Grid(runs=list((planned_runs(root) | {run.folder: run for run in runs}).values())))


def check(root: Path, runs: Sequence[PlannedRun]) -> None:
    """Refuse to change a run that was started, or one that is planned in a grid of which a run was started.

    Raises:
        UsageError: If a run now has other options, other files or another description; says which.
    """
    planned = planned_runs(root)
    grid_is_started = (root / JOBS).exists() or any(is_started(root / folder) for folder in planned)
    refused = []
    for run in runs:
        before = planned.get(run.folder)
        if is_started(root / run.folder):
            changes = changes_since_start(root, run, before)
            changes += _differences(before, run) if before is not None else []
        elif before is not None and grid_is_started:
            changes = _changes(before.arguments, before.files, run)
        else:
            continue
        if changes:
            refused.append(f"{run.folder}: {'; '.join(changes)}")
    if refused:
        more = f"; and {len(refused) - 1} more runs" if len(refused) > 1 else ""
        raise UsageError(f"{root} holds a grid that was started with other settings: {refused[0]}{more}. {INSTEAD}")


def is_started(folder: Path) -> bool:
    """Whether a run has come as far as training; a run that was refused its options has not."""
    if any((folder / name).exists() for name in (files.CONFIG, files.RESULTS)):
        return True
    with contextlib.suppress(BrokenRecordError):
        attempts = read_record(folder / files.RUN, Attempts)
        return attempts is not None and (attempts.arguments is not None or is_locked(folder))
    return False


def changes_since_start(root: Path, run: PlannedRun, before: PlannedRun | None = None) -> list[str]:
    """Return in words how a run's options and files differ from those that it was started with.

    Args:
        before: What grid.json says, which older run.json files do not repeat.
    """
    folder = root / run.folder
    with contextlib.suppress(UsageError):
        attempts = read_record(folder / files.RUN, Attempts)
        config = read_yaml(folder / files.CONFIG) if (folder / files.CONFIG).exists() else None
        if attempts is not None and attempts.arguments is not None:
            return _changes(attempts.arguments, attempts.files, run, config)
        if before is not None:
            return _changes(before.arguments, before.files, run, config)
    return []  # what is broken is shown as a failed run


def changed_files(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return `optimizer.yaml has changed` for each file of both that has other content."""
    return [f"{name} has changed" for name in sorted(before.keys() & now.keys()) if before[name] != now[name]]


def _changes(arguments: Sequence[str], hashes: dict[str, str], run: PlannedRun, config: object = None) -> list[str]:
    return changed_options(arguments, run.arguments, config) + changed_files(hashes, run.files)


def _differences(before: PlannedRun, run: PlannedRun) -> list[str]:
    old, new = ({key: getattr(entry, key) for key in DESCRIPTION} for entry in (before, run))
    if before.paper is None or before.paper.protocol is None:
        # Older grids decided themselves whether a run is trained like the paper's.
        old["paper"], old["tuned_on"] = run.paper, before.tuned_on.removesuffix(", in another training")
    return [f"{key} was {old[key]}, is {new[key]}" for key in DESCRIPTION if old[key] != new[key]]
