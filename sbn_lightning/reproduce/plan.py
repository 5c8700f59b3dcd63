"""grid.json, the plan of a grid's folder: which runs it holds, and what may still be changed of them."""

import contextlib
import fcntl
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import filelock

from sbn_lightning.errors import UsageError
from sbn_lightning.reproduce.grid import Run
from sbn_lightning.reproduce.json_file import BrokenFileError, read_json, write_json
from sbn_lightning.reproduce.run_folder import RunFolder
from sbn_lightning.reproduce.settings import differences

SAID_BEFORE = ("dataset", "tuned_on", "declared", "paper")  # of a run, before its result is known
INSTEAD = "Give what it was begun with, or another folder with --out DIR"


def stored_runs(root: Path) -> dict[str, dict[str, Any]]:
    """Folder -> run of a grid's folder, as grid.json has them; {} if there is none.

    Raises:
        BrokenFileError: If it is broken.
    """
    return {run["folder"]: run for run in read_json(root / "grid.json").get("runs", [])}


def store_runs(root: Path, runs: Sequence[Run]) -> None:
    """Write grid.json: these runs, and those of earlier commands that lie in the same folder."""
    write_json(root / "grid.json", {"runs": list((stored_runs(root) | {r.folder: asdict(r) for r in runs}).values())})


@contextlib.contextmanager
def stored(root: Path, runs: Sequence[Run]) -> Iterator[None]:
    """Write grid.json, one runner at a time; while the context lasts no other changes what a run of it is.

    Raises:
        UsageError: If a run would become another that was begun, or may be begun at any time; or it cannot be written.
    """
    with contextlib.ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            runners = stack.enter_context((root / "runners.lock").open("a+"))
            with filelock.FileLock(root / "grid.lock"):
                check_begun(root, runs)
                check_waiting(root, runs, alone=is_alone(runners.fileno()))
                store_runs(root, runs)
                fcntl.flock(runners, fcntl.LOCK_SH)
        except OSError as error:
            raise UsageError(f"{root} cannot be written: {error}") from error
        yield


def is_alone(descriptor: int) -> bool:
    """Whether no other runner is at the grid."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def known_runs(root: Path) -> dict[str, dict[str, Any]]:
    """As stored_runs.

    Raises:
        UsageError: If grid.json is broken.
    """
    try:
        return stored_runs(root)
    except BrokenFileError as error:
        raise UsageError(f"{error}; delete it, and start the same command again: it is written anew") from error


def check_begun(root: Path, runs: Sequence[Run]) -> None:
    """Raises:
    UsageError: If a run was begun with other settings than it would have now, or with something else said of it.
    """
    known = known_runs(root)
    changed = []
    for run in runs:
        folder = RunFolder(root / run.folder)
        try:
            begun = folder.record().get("config") if folder.begun() else None
        except (BrokenFileError, OSError):
            begun = None  # shown as failed
        different = differences(begun, run.config) if begun is not None else []
        if run.folder in known and folder.begun():
            before, now = ({key: entry.get(key) for key in SAID_BEFORE} for entry in (known[run.folder], asdict(run)))
            different += differences(before, now)
        if different:
            changed.append(f"{run.folder}: {'; '.join(different)}")
    if changed:
        raise UsageError(f"{root} holds runs that were begun with other settings: {first(changed)}. {INSTEAD}")


def check_waiting(root: Path, runs: Sequence[Run], alone: bool) -> None:
    """Raises:
    UsageError: If a planned run would get other settings, in a grid that is begun or that others are about to train.
    """
    known = known_runs(root)
    changed = [
        f"{run.folder}: {'; '.join(different)}"
        for run in runs
        if run.folder in known and (different := differences(known[run.folder].get("config") or {}, run.config))
    ]
    if not changed:
        return
    if not alone:
        raise UsageError(
            f"another command is at the runs of {root}, and some would change: {first(changed)}. {INSTEAD}"
        )
    if (root / "slurm.json").exists() or any(RunFolder(root / folder).begun() for folder in known):
        raise UsageError(f"{root} holds a grid that was begun with other settings: {first(changed)}. {INSTEAD}")


def first(changed: Sequence[str]) -> str:
    """The first of many."""
    return f"{changed[0]}; and {len(changed) - 1} more runs" if len(changed) > 1 else changed[0]
