"""A grid: runs of `sbn fit` and `sbn test`, as data."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.reproduce.settings import differences, options_in, settings_of

CLASSES = ("data", "model.backbone", "model.head")  # that a run's folder is named after
# What may change between two trainings that are still to give one result; all else makes another training of it.
SAME_TRAINING = re.compile(
    r"data\.(on_device|download|test_each_epoch)|"
    r"trainer\.(precision|accelerator|devices|strategy|callbacks.*|logger.*|log_every_n_steps|enable_.*|deterministic)"
)


@dataclass(frozen=True)
class Run:
    """One training and its test.

    Args:
        folder: Where it lies, relative to the grid's folder: dataset/backbone/label/seedN.
        dataset: As tables call it.
        backbone: Its class.
        head: Its class.
        label: The head with its settings, as tables call it.
        settings: The head's.
        seed: seed_everything.
        tuned_on: What the head's settings were chosen on: "paper", "hold-out", "nothing" or any short text.
        declared: Whether the head's settings were fixed before any result was known: of SBN one scale, of the other
            heads all that the paper has.
        paper: The paper's result {"mean", "std", "runs"} in percent, or None.
        arguments: Options of `sbn fit`, but for run_dir.
        config: All that they set, with the files they name read.
    """

    folder: str
    dataset: str
    backbone: str
    head: str
    label: str
    settings: dict[str, Any]
    seed: int
    tuned_on: str
    declared: bool
    paper: dict[str, Any] | None
    arguments: list[str]
    config: dict[str, Any]


def make_run(
    arguments: Sequence[str],
    seed: int,
    label: str,
    place: str,
    dataset: str | None = None,
    tuned_on: str = "nothing",
    declared: bool = True,
    paper: dict[str, Any] | None = None,
) -> Run:
    """A run, its backbone, head and settings taken from what its arguments set.

    Args:
        place: First part of its folder.
        dataset: Left out: the data's class.

    Raises:
        UsageError: If the arguments name no data, backbone or head, or a config that is not there.
    """
    arguments = [*arguments, "--seed_everything", str(seed)]
    config = settings_of(arguments)
    for key in CLASSES:
        if not isinstance(config.get(key), str):
            raise UsageError(f"{' '.join(arguments)} sets no {key}; name a class there, in a config or as an option")
    data, backbone, head = (config[key].rpartition(".")[2] for key in CLASSES)
    folder = f"{place}/{backbone}/{label}/seed{seed}"
    dataset = dataset or data
    settings = head_settings(config)
    return Run(folder, dataset, backbone, head, label, settings, seed, tuned_on, declared, paper, arguments, config)


def head_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a run's head."""
    start = "model.head."
    return {key.removeprefix(start): value for key, value in config.items() if key.startswith(start)}


def with_options(run: Run, options: Sequence[str]) -> Run:
    """The run with options of the user's own, which come last and so win; its folder stays where the grid has it.

    If they make another training of it, its result is none to be set against the paper's.

    Raises:
        UsageError: If they change what the grid varies, and the run's folder is named after.
    """
    arguments = [*run.arguments, *options]
    config = settings_of(arguments)
    named = settings_of(without_configs(run.arguments))
    fixed = {*CLASSES, "seed_everything", *(key for key in named if key.startswith("model.head."))}
    changed = [key for key in run.config.keys() | config.keys() if run.config.get(key) != config.get(key)]
    if wrong := sorted(fixed & set(changed)):
        before, now = ({key: settings.get(key) for key in wrong} for settings in (run.config, config))
        raise UsageError(
            f"the grid sets {', '.join(wrong)} for each run, and {run.folder} is named after it: "
            f"{'; '.join(differences(before, now))} by your options or a --config among them. Leave it out there; "
            "--datasets, --backbones, --heads and --seeds choose runs, --grid FILE takes a grid of your own"
        )
    changes = replace(run, arguments=arguments, config=config, settings=head_settings(config))
    if run.paper is None or all(SAME_TRAINING.fullmatch(key) for key in changed):
        return changes
    return replace(changes, paper=None, tuned_on=f"{run.tuned_on}, in another training")


def without_configs(arguments: Sequence[str]) -> list[str]:
    """The options that name their key themselves."""
    pairs = [(option, value) for option, value in options_in(arguments) if option not in ("--config", "-c")]
    return [part for pair in pairs for part in pair]


FILTERS: dict[str, Callable[[Run], set[str]]] = {
    "datasets": lambda run: {run.dataset, run.folder.partition("/")[0]},
    "backbones": lambda run: {run.backbone},
    "heads": lambda run: {run.label, run.head, run.label.partition("-")[0]},
    "seeds": lambda run: {str(run.seed)},
}


def chosen(runs: Sequence[Run], wanted: dict[str, Sequence[str] | None]) -> list[Run]:
    """The runs that fit every filter, of those that are given.

    Args:
        runs: All of the grid.
        wanted: Filter -> names, in any case; None for all.

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
        raise UsageError("no run of the grid fits all of these filters together; leave one of them out")
    return left


def check_folders(runs: Sequence[Run]) -> None:
    """Raises:
    UsageError: If two runs would lie in one folder.
    """
    seen: dict[str, Run] = {}
    for run in runs:
        if (other := seen.setdefault(run.folder, run)) is not run:
            raise UsageError(
                f"two runs would lie in {run.folder}: sbn fit {' '.join(other.arguments)} and sbn fit "
                f"{' '.join(run.arguments)}; give them different labels"
            )
