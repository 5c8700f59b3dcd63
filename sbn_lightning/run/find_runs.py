"""Finds the runs below a folder, and those that a grid there still plans."""

import os
from pathlib import Path

from sbn_lightning.run.files import CONFIG, GRID, RESULTS, RUN
from sbn_lightning.run.records import Grid, PlannedRun, read_record


def find_runs(root: Path, skip: Path | None = None) -> dict[Path, PlannedRun | None]:
    """Return the folder of every run below `root` (which may be one itself), with its entry in a grid.json.

    The runs of a grid come first, in its order; those that have not started have no folder yet.

    Args:
        skip: A folder that is not searched.

    Raises:
        BrokenRecordError: If a grid.json is invalid: without it nobody knows what was declared.
    """
    found: dict[Path, PlannedRun | None] = {}
    planned: dict[Path, PlannedRun | None] = {}
    for path, children, files in os.walk(root):
        folder = Path(path)
        children[:] = sorted(child for child in children if skip is None or (folder / child).resolve() != skip)
        if GRID in files and (grid := read_record(folder / GRID, Grid)):
            planned |= {folder / run.folder: run for run in grid.runs}
        if any(name in files for name in (RESULTS, RUN, CONFIG)):
            found[folder] = None
            children.clear()
    return planned | {folder: planned.get(folder) for folder in found}
