"""The runs of a grid: how one is made, chosen, and given the user's own options."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.reproduce.fit_options import MISSING, class_in, options_in, setting, value_of
from sbn_lightning.run.records import PlannedRun, Published

CLASSES = ("data", "model.backbone", "model.head")  # the folder of a run is named after these


def make_run(
    config: str,
    options: dict[str, str],
    seed: int,
    label: str,
    place: str = "",
    dataset: str | None = None,
    tuned_on: str = "nothing",
    declared: bool = True,
    paper: Published | None = None,
) -> PlannedRun:
    """Return a run; its data, backbone, head and settings are those of the options, or else of the config.

    Args:
        config: A file, or the name of a shipped config.
        options: {key: value} of `sbn fit`, after the config.
        label: The head with its settings, as tables call it.
        place: The first part of the run's folder; default: the class of the data.
        dataset: As tables call it; default: the class of the data.

    Raises:
        UsageError: If the config is not found, or neither it nor the options name data, backbone and head.
    """
    arguments = ["--config", config]
    for key, value in (options | {"seed_everything": str(seed)}).items():
        arguments += [f"--{key}", value]
    in_config = {key: setting(["--config", config], key) for key in CLASSES}
    classes = {key: value_of(options[key]) if key in options else in_config[key] for key in CLASSES}
    for key, value in classes.items():
        if not class_in(value):
            raise UsageError(f"{config} does not set {key}; name a class there, in the config or as an option")
    data, backbone, head = map(class_in, classes.values())
    settings = dict(_settings(in_config["model.head"])) if head == class_in(in_config["model.head"]) else {}
    settings |= head_settings(arguments)
    return PlannedRun(
        folder=f"{place or data}/{backbone}/{label}/seed{seed}",
        dataset=dataset or data,
        backbone=backbone,
        head=head,
        label=label,
        settings=settings,
        seed=seed,
        tuned_on=tuned_on,
        declared=declared,
        paper=paper,
        arguments=arguments,
    )


def _settings(module: Any) -> dict[str, Any]:
    return (module.get("init_args") or {}) if isinstance(module, dict) else {}


def head_settings(arguments: Sequence[str]) -> dict[str, Any]:
    """Return the settings of the head that options set by name."""
    start = "model.head."
    return {key.removeprefix(start): value_of(text) for key, text in options_in(arguments) if key.startswith(start)}


def with_options(run: PlannedRun, options: Sequence[str]) -> PlannedRun:
    """Return the run with the user's own options of `sbn fit`, which come last; its folder stays the same.

    Raises:
        UsageError: If they change what the grid varies, since the folder of the run is named after this.
    """
    arguments = [*run.arguments, *options]
    fixed = [*CLASSES, "seed_everything", *(f"model.head.{name}" for name in head_settings(run.arguments))]
    before, now = ({key: setting(given, key) for key in fixed} for given in (run.arguments, arguments))
    for values in (before, now):
        values |= {key: class_in(values[key]) for key in CLASSES}
    if changed := [f"{key} was {before[key]}, is {now[key]}" for key in fixed if before[key] != now[key]]:
        raise UsageError(
            f"the grid sets {', '.join(text.partition(' ')[0] for text in changed)} for each run, and {run.folder} is "
            f"named after it: {'; '.join(changed)} by your options or by a --config among them. Leave it out; "
            "--datasets, --backbones, --heads and --seeds choose runs, and --grid FILE takes a grid of your own"
        )
    settings = {name: value for name in run.settings if (value := setting(arguments, f"model.head.{name}")) != MISSING}
    return msgspec.structs.replace(
        run, arguments=arguments, settings=run.settings | settings | head_settings(arguments)
    )


FILTERS: dict[str, Callable[[PlannedRun], set[str]]] = {
    "datasets": lambda run: {run.dataset, run.folder.partition("/")[0]},
    "backbones": lambda run: {run.backbone},
    "heads": lambda run: {run.label, run.head, run.label.partition("-")[0]},
    "seeds": lambda run: {str(run.seed)},
}


def chosen(runs: Sequence[PlannedRun], wanted: Mapping[str, Sequence[str] | None]) -> list[PlannedRun]:
    """Return the runs that pass every filter that is given.

    Args:
        runs: All runs of the grid.
        wanted: {filter: names in any case}; None for all.

    Raises:
        UsageError: If a name fits no run of the grid.
    """
    left = list(runs)
    for option, names in wanted.items():
        if names is None:
            continue
        known = sorted(set().union(*(FILTERS[option](run) for run in runs)))
        by_lower = {name.lower(): name for name in known}
        for name in names:
            if name.lower() not in by_lower:
                raise UsageError(
                    f"--{option}: the grid has no {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
                )
        kept = {by_lower[name.lower()] for name in names}
        left = [run for run in left if FILTERS[option](run) & kept]
    if not left:
        raise UsageError("no run of the grid passes all of these filters together; leave one of them out")
    return left


def check_folders(runs: Sequence[PlannedRun]) -> None:
    """Raises:
    UsageError: If two runs would have the same folder.
    """
    seen: dict[str, PlannedRun] = {}
    for run in runs:
        if (other := seen.setdefault(run.folder, run)) is not run:
            raise UsageError(
                f"two runs would have the folder {run.folder}: sbn fit {' '.join(other.arguments)} and sbn fit "
                f"{' '.join(run.arguments)}; give them different labels"
            )
