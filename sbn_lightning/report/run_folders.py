"""Finds the runs below a folder, and those that a grid there still plans."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from sbn_lightning.report.records import FINISHED, Data, Run, UnreadableRecordError, read_json, read_run

RUN_FILES = ("results.json", "run.json", "config.yaml")
"""A folder that holds one of them is a run's."""


def read_runs(root: Path, skip: Path | None = None) -> list[Run]:
    """Every run below a folder (which may be one itself), and those that a grid.json there still plans.

    Args:
        skip: A folder that is not looked into: the report's own.
    """
    folders: list[Path] = []
    planned: dict[Path, Data] = {}
    for path, children, files in os.walk(root):
        folder = Path(path)
        children[:] = sorted(child for child in children if skip is None or (folder / child).resolve() != skip)
        if "grid.json" in files:
            planned |= {folder / str(entry["folder"]): entry for entry in grid_entries(folder / "grid.json")}
        if any(name in files for name in RUN_FILES):
            folders.append(folder)
            children.clear()
    names = {
        folder: os.path.relpath(folder, root) if folder != root else root.resolve().name
        for folder in dict.fromkeys([*planned, *folders])
    }
    return [read_run(folder, name, planned.get(folder, {})) for folder, name in names.items()]


def grid_entries(file: Path) -> list[Data]:
    """The runs of a grid.

    Raises:
        UnreadableRecordError: If the file is not a grid's: without it the report would not know what was declared.
    """
    grid = read_json(file)
    entries = grid.get("runs")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) and "folder" in entry for entry in entries):
        raise UnreadableRecordError(f'{file} cannot be read: it holds no list "runs" whose entries have a "folder"')
    return entries


def by_state(runs: Iterable[Run]) -> Iterator[tuple[str, int]]:
    """How many runs are in each state."""
    counts: dict[str, int] = {}
    for run in runs:
        counts[run.state] = counts.get(run.state, 0) + 1
    yield from sorted(counts.items(), key=lambda item: (item[0] != FINISHED, item[0]))
