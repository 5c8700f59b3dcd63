"""The runs of a grid: how one is made, chosen, and given the user's own options."""

from collections.abc import Callable, Mapping, Sequence

import msgspec

from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.reproduce.fit_options import CLASSES, head_settings, options_in, plain_key, settings
from sbn_lightning.run.records import PlannedRun, Published


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
    found = settings(arguments)
    for key in CLASSES:
        if not found.get(key):
            raise UsageError(f"{config} does not set {key}; name a class there, in the config or as an option")
    data, backbone, head = (found[key] for key in CLASSES)
    return PlannedRun(
        folder=f"{place or data}/{backbone}/{label}/seed{seed}",
        dataset=dataset or data,
        backbone=backbone,
        head=head,
        label=label,
        settings=head_settings(found),
        seed=seed,
        tuned_on=tuned_on,
        declared=declared,
        paper=paper,
        arguments=arguments,
    )


def with_options(run: PlannedRun, options: Sequence[str]) -> PlannedRun:
    """Return the run with the user's own options of `sbn fit`, which come last; its folder stays the same.

    Raises:
        UsageError: If they change what the grid varies, since the folder of the run is named after this.
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
    return msgspec.structs.replace(run, arguments=arguments, settings=head_settings(now))


FILTERS: dict[str, Callable[[PlannedRun], set[str]]] = {
    "datasets": lambda run: {run.dataset, run.folder.partition("/")[0]},
    "backbones": lambda run: {run.backbone},
    "heads": lambda run: {run.label, run.head, run.label.partition("-")[0]},
    "seeds": lambda run: {str(run.seed)},
}


def chosen(runs: Sequence[PlannedRun], wanted: Mapping[str, Sequence[object] | None]) -> list[PlannedRun]:
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
        for name in map(str, names):
            if name.lower() not in by_lower:
                raise UsageError(
                    f"--{option}: the grid has no {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
                )
        kept = {by_lower[str(name).lower()] for name in names}
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
