"""The runs of a grid: how one is made, chosen and given the user's own options, and grid.json, the plan of a folder.

Once a run of a grid was started, the runs that are planned in its folder cannot be changed any more.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.reproduce.fit_options import CLASSES, changed_settings, hashes, options_in, plain_key, settings
from sbn_lightning.run import files
from sbn_lightning.run.grid_records import Grid, PlannedRun, Published
from sbn_lightning.run.records import Attempts, read_record, write_record

LOCK = "grid.lock"  # held while one command checks a grid, plans it and starts its first runs
JOBS = "slurm.json"  # {folder: the last SLURM job} of each run that a job was ever submitted for


def make_run(
    config: str, options: dict[str, str], seed: int, label: str, place: str = "", dataset: str = "",
    tuned_on: str = "nothing", declared: bool = True, paper: Published | None = None,
) -> PlannedRun:  # fmt: skip
    """Return a run of a config and of options of `sbn fit`, {key: value}, which together name data, backbone and head.

    Tables call the head with its settings `label`, and the data `dataset`; `place` is the first part of the run's
    folder. Both of the latter are the class of the data by default. A config that is not found is a UsageError.
    """
    arguments = ["--config", config]
    for key, value in (options | {"seed_everything": str(seed)}).items():
        arguments += [f"--{key}", value]
    found = settings(arguments)
    for key in CLASSES:
        if not found.get(key):
            raise UsageError(f"{config} does not set {key}; name a class there, in the config or as an option")
    data, backbone, head = (found[key] for key in CLASSES)
    return PlannedRun(
        f"{place or data}/{backbone}/{label}/seed{seed}", dataset or data, backbone, head, label, head_settings(found),
        seed, tuned_on, declared, paper, arguments,
    )  # fmt: skip


def head_settings(found: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the head among others."""
    return {key.removeprefix("model.head."): value for key, value in found.items() if key.startswith("model.head.")}


def with_options(run: PlannedRun, options: Sequence[str]) -> PlannedRun:
    """Return the run with the user's own options of `sbn fit`, which come last, and the hashes of all its configs.

    Options that change what the grid varies, which the folder of the run is named after, are a UsageError.
    """
    arguments = [*run.arguments, *options]
    by_option = {plain_key(name) for name, _ in options_in(run.arguments)}
    fixed = [*CLASSES, "seed_everything", *sorted(key for key in by_option if key.startswith("model.head."))]
    before, now = settings(run.arguments), settings(arguments)
    if changed := [key for key in fixed if before.get(key) != now.get(key)]:
        raise UsageError(
            f"the grid sets {', '.join(changed)} for each run, and {run.folder} is named after it: "
            f"{'; '.join(f'{key} was {before.get(key)}, is {now.get(key)}' for key in changed)} by your options or by "
            "a --config among them. Leave it out; --datasets, --backbones, --heads and --seeds choose runs, and --grid "
            "FILE takes a grid of your own"
        )
    return msgspec.structs.replace(run, arguments=arguments, settings=head_settings(now), files=hashes(arguments))


FILTERS: dict[str, Callable[[PlannedRun], set[str]]] = {
    "datasets": lambda run: {run.dataset, run.folder.partition("/")[0]},
    "backbones": lambda run: {run.backbone},
    "heads": lambda run: {run.label, run.head, run.label.partition("-")[0]},
    "seeds": lambda run: {str(run.seed)},
}


def chosen(runs: Sequence[PlannedRun], wanted: Mapping[str, Sequence[object] | None]) -> list[PlannedRun]:
    """Return the runs that pass every filter that is given, as {filter: names in any case, or None for all}.

    A name that fits no run of the grid, and filters that no run passes, are a UsageError.
    """
    left = list(runs)
    for option, names in wanted.items():
        if names is None:
            continue
        known = {name.lower(): name for run in runs for name in FILTERS[option](run)}
        kept = {str(name).lower(): str(name) for name in names}
        for name in kept:
            if name not in known:
                text = f"the grid has no {kept[name]!r}{did_you_mean(name, known)}"
                raise UsageError(f"--{option}: {text}; known are {', '.join(sorted(known.values()))}")
        left = [run for run in left if any(name.lower() in kept for name in FILTERS[option](run))]
    if not left:
        raise UsageError("no run of the grid passes all of these filters together; leave one of them out")
    return left


def planned_runs(root: Path) -> dict[str, PlannedRun]:
    """Return {folder: run} of grid.json."""
    grid = read_record(root / files.GRID, Grid)
    return {run.folder: run for run in grid.runs}


def store(root: Path, runs: Sequence[PlannedRun]) -> None:
    """Write grid.json: these runs, if nothing forbids it, and those of earlier commands in the same folder."""
    check(root, runs)
    write_record(root / files.GRID, Grid(runs=list((planned_runs(root) | {run.folder: run for run in runs}).values())))


def check(root: Path, runs: Sequence[PlannedRun]) -> None:
    """Raise a UsageError that says what is different if runs were planned otherwise in a grid that was started.

    A run that was refused its options, and so has not come as far as training, counts as not started.
    """
    planned = planned_runs(root)
    for run in runs:  # run.json knows of a run as well, if grid.json was lost
        if run.folder not in planned and (arguments := notes(root / run.folder).arguments):
            planned[run.folder] = msgspec.structs.replace(run, arguments=arguments)
    signs = [root / JOBS, *(root / folder / name for folder in planned for name in (files.CONFIG, files.RESULTS))]
    if not any(sign.exists() for sign in signs) and not any(notes(root / folder).arguments for folder in planned):
        return
    changed = {run.folder: changes(planned[run.folder], run) for run in runs if run.folder in planned}
    refused = [f"{folder}: {'; '.join(texts)}" for folder, texts in changed.items() if texts]
    if refused:
        more = f"; and {len(refused) - 1} more runs" if len(refused) > 1 else ""
        raise UsageError(
            f"{root} holds a grid that was started with other settings: {refused[0]}{more}. Give the options that it "
            "was started with, or another folder with --out DIR"
        )


def changes(before: PlannedRun, run: PlannedRun) -> list[str]:
    """Return in words how a run differs from what was planned: in its settings, its declaration, or its files."""
    try:
        old = settings(before.arguments)
    except UsageError as error:
        return [f"of the options that it was started with, {error}"]
    # Older grids decided themselves whether a run is trained like the paper's, and said it here.
    old |= {"tuned_on": before.tuned_on.removesuffix(", in another training"), "declared": before.declared}
    new = settings(run.arguments) | {"tuned_on": run.tuned_on, "declared": run.declared}
    common = sorted(before.files.keys() & run.files.keys())
    return changed_settings(old, new) + [f"{f} has changed" for f in common if before.files[f] != run.files[f]]


def notes(folder: Path) -> Attempts:
    """Return run.json; empty notes if there is none, or a broken one: it holds only what a runner wrote down."""
    try:
        return read_record(folder / files.RUN, Attempts)
    except UsageError:
        return Attempts()


def note(folder: Path, **changes: Any) -> None:
    """Change fields of run.json."""
    write_record(folder / files.RUN, msgspec.structs.replace(notes(folder), **changes))
