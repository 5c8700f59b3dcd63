"""grid.json, the plan of a grid's folder: the runs that it holds, and what may still be changed about them."""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.fit_options import changed_settings, configs_in, hashes, settings
from sbn_lightning.run import files
from sbn_lightning.run.lock import held, is_locked
from sbn_lightning.run.records import Attempts, Grid, PlannedRun, read_record, write_record

LOCK = "grid.lock"
JOBS = "slurm.json"  # the SLURM job of each run
DESCRIPTION = ("dataset", "tuned_on", "declared", "paper")  # said about a run before its result is known


@contextlib.contextmanager
def grid_lock(root: Path) -> Iterator[None]:
    """Hold the folder of a grid while one command checks it, prepares its data and writes its plan."""
    if is_locked(root, LOCK):
        print(f"Another command prepares {root}; waiting for it.", flush=True)
    with held(root, LOCK, patience=-1):
        yield


def with_hashes(runs: Sequence[PlannedRun]) -> list[PlannedRun]:
    """Return the runs, each with the hashes of the YAML files that its options name."""
    cached = functools.cache(hashes)  # many runs have the same configs
    return [msgspec.structs.replace(run, files=cached(configs_in(run.arguments))) for run in runs]


def planned_runs(root: Path) -> dict[str, PlannedRun]:
    """Return {folder: run} of grid.json."""
    grid = read_record(root / files.GRID, Grid) or Grid()
    return {run.folder: run for run in grid.runs}


def store(root: Path, runs: Sequence[PlannedRun]) -> None:
    """Write grid.json: these runs, and those of earlier commands in the same folder."""
    write_record(root / files.GRID, Grid(runs=list((planned_runs(root) | {run.folder: run for run in runs}).values())))


def check(root: Path, runs: Sequence[PlannedRun]) -> None:
    """Refuse to change a run that was started, or one that is planned in a grid of which a run was started.

    Raises:
        UsageError: If a run now has other settings, other files or another description; says which.
    """
    planned = planned_runs(root)
    is_grid_started = (root / JOBS).exists() or any(is_started(root / folder) for folder in planned)
    refused = []
    for run in runs:
        before = planned.get(run.folder)
        if is_started(root / run.folder) or (before is not None and is_grid_started):
            changes = changes_since_start(root, run, before) + _new_description(before, run)
            refused += [f"{run.folder}: {'; '.join(changes)}"] if changes else []
    if refused:
        more = f"; and {len(refused) - 1} more runs" if len(refused) > 1 else ""
        raise UsageError(
            f"{root} holds a grid that was started with other settings: {refused[0]}{more}. Give the options that it "
            "was started with, or another folder with --out DIR"
        )


def is_started(folder: Path) -> bool:
    """Whether a run has come as far as training; a run that was refused its options has not."""
    return (
        any((folder / name).exists() for name in (files.CONFIG, files.RESULTS))
        or notes(folder / files.RUN).arguments is not None
    )


def notes(file: Path) -> Attempts:
    """Return run.json; empty notes if there is none, or a broken one: it holds only what a runner wrote down."""
    with contextlib.suppress(UsageError):
        return read_record(file, Attempts) or Attempts()
    return Attempts()


def changes_since_start(root: Path, run: PlannedRun, before: PlannedRun | None = None) -> list[str]:
    """Return in words how a run's settings and files differ from those that it was started with: those of run.json,
    or of grid.json (`before`), which older run.json files do not repeat."""
    folder = root / run.folder
    attempts = notes(folder / files.RUN)
    start = attempts if attempts.arguments is not None else before
    if start is None:
        return []
    now, written = settings(run.arguments), {}
    with contextlib.suppress(UsageError):  # the run's own config.yaml says what a setting was that was not given
        written = settings(["--config", str(folder)])
    try:
        old = {key: value for key, value in written.items() if key in now} | settings(start.arguments or ())
    except UsageError as error:
        return [f"of the options that it was started with, {error}"]
    return changed_settings(old, now) + changed_files(start.files, run.files)


def changed_files(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Return `optimizer.yaml has changed` for each file of both that has other content."""
    return [f"{name} has changed" for name in sorted(before.keys() & now.keys()) if before[name] != now[name]]


def _new_description(before: PlannedRun | None, run: PlannedRun) -> list[str]:
    """In words, what else is now said about a run than in grid.json."""
    if before is None:
        return []
    old, new = ({key: getattr(entry, key) for key in DESCRIPTION} for entry in (before, run))
    if before.paper is None or before.paper.protocol is None:
        # Older grids decided themselves whether a run is trained like the paper's.
        old |= {"paper": run.paper, "tuned_on": before.tuned_on.removesuffix(", in another training")}
    elif run.paper and before.paper.pooled_std is None:
        # Older grids do not hold the spread of the paper's runs over its heads.
        pooled = {"pooled_std": run.paper.pooled_std, "pooled_df": run.paper.pooled_df}
        old["paper"] = msgspec.structs.replace(before.paper, **pooled)
    return [f"{key} was {old[key]}, is {new[key]}" for key in DESCRIPTION if old[key] != new[key]]
