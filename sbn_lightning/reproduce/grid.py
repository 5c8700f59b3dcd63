"""A grid: runs of `sbn fit` and `sbn test`, as data."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sbn_lightning.cli import UsageError, did_you_mean
from sbn_lightning.reproduce.json_file import read_json, write_json
from sbn_lightning.reproduce.settings import settings_of


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
        declared: Whether the head's settings were fixed before any result was known, one setting for each kind of head.
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
    for key in ("data", "model.backbone", "model.head"):
        if not isinstance(config.get(key), str):
            raise UsageError(f"{' '.join(arguments)} sets no {key}; name a class there, in a config or as an option")
    data, backbone, head = (config[key].rpartition(".")[2] for key in ("data", "model.backbone", "model.head"))
    start = "model.head."
    settings = {key.removeprefix(start): value for key, value in config.items() if key.startswith(start)}
    folder = f"{place}/{backbone}/{label}/seed{seed}"
    dataset = dataset or data
    return Run(folder, dataset, backbone, head, label, settings, seed, tuned_on, declared, paper, arguments, config)


def with_options(run: Run, options: Sequence[str]) -> Run:
    """The run with options of the user's own, which come last and so win; its folder stays where the grid has it."""
    arguments = [*run.arguments, *options]
    changed = make_run(arguments, run.seed, run.label, "", run.dataset, run.tuned_on, run.declared, run.paper)
    return replace(changed, arguments=arguments, config=settings_of(arguments), folder=run.folder)


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


def stored_runs(root: Path) -> dict[str, dict[str, Any]]:
    """Folder -> run of a grid's folder, as grid.json has them; {} if there is none.

    Raises:
        BrokenFileError: If it is broken.
    """
    return {run["folder"]: run for run in read_json(root / "grid.json").get("runs", [])}


def store_runs(root: Path, runs: Sequence[Run]) -> None:
    """Write grid.json: these runs, and those of earlier commands that lie in the same folder."""
    write_json(root / "grid.json", {"runs": list((stored_runs(root) | {r.folder: asdict(r) for r in runs}).values())})
