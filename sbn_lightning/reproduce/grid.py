"""The runs of a grid: how one is made, chosen, and given the user's own options; the grids that come with sbn."""

import csv
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from sbn_lightning.errors import UsageError, did_you_mean
from sbn_lightning.reproduce.fit_options import CLASSES, head_settings, options_in, plain_key, settings
from sbn_lightning.run.records import PlannedRun, Protocol, Published

SEEDS = (0, 1, 2)
RUNS = 3  # "every run is repeated 3 times", Section 4
DECLARED_SCALE = 0.9  # one of the paper's three; to compare the best of three with one softmax would favour ours

# Names in paper_tables.csv -> ours.
PAPER_BACKBONES = {"vgg": "LSoftmaxVGG", "resnet18": "ResNet18", "resnet50": "ResNet50"}
PAPER_HEADS = {"softmax": "softmax", "am_softmax": "am_softmax", "pedcc": "pedcc", "scaled_batch_norm": "sbn"}
PAPER_CLASSES = {"cifar100": 100, "tiny_imagenet": 200}  # FaceScrub's depend on the links that still work

DIGITS_HEADS = ("softmax", "sbn", "am_softmax", "pedcc")

# Dataset, backbone, head as paper_tables.csv names them; scale and margin where the head has them.
Cell = tuple[str, str, str, float | None, float | None]


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
        f"{place or data}/{backbone}/{label}/seed{seed}", dataset or data, backbone, head, label, head_settings(found),
        seed, tuned_on, declared, paper, arguments,
    )  # fmt: skip


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
    """Return the runs that pass every filter that is given, as {filter: names in any case, or None for all}.

    Raises:
        UsageError: If a name fits no run of the grid, or no run passes.
    """
    left = list(runs)
    for option, names in wanted.items():
        if names is None:
            continue
        known = sorted(set().union(*(FILTERS[option](run) for run in runs)))
        by_lower = {name.lower(): name for name in known}
        kept = set()
        for name in map(str, names):
            if name.lower() not in by_lower:
                text = f"the grid has no {name!r}{did_you_mean(name, known)}; known are {', '.join(known)}"
                raise UsageError(f"--{option}: {text}")
            kept.add(by_lower[name.lower()])
        left = [run for run in left if FILTERS[option](run) & kept]
    if not left:
        raise UsageError("no run of the grid passes all of these filters together; leave one of them out")
    return left


def paper_results() -> dict[Cell, tuple[float, float]]:
    """Return mean and standard deviation of each cell's test accuracy in percent, in the order of the tables."""
    with (Path(__file__).parent / "paper_tables.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    results = {}
    for row in rows:
        scale, margin = (float(row[name]) if row[name] else None for name in ("scale", "margin"))
        numbers = float(row["accuracy_mean_percent"]), float(row["accuracy_std_percent"])
        results[row["dataset"], row["backbone"], row["head"], scale, margin] = numbers
    return results


def paper_protocol(dataset: str, backbone: str) -> Protocol:
    """Return how the paper trains, as our configs have it."""
    return Protocol(
        epochs=100,
        batch_size=128,
        optimizer=["SGD(lr=0.1, momentum=0.9, weight_decay=0.0005)"],
        schedule=["learning rate ×0.1 after epochs 30, 60, 90"],
        augmentation="crop 4, flip",
        backbone_settings={} if backbone == "vgg" else {"stem": "small", "weights": None},
        classes=PAPER_CLASSES.get(dataset),
    )


def paper_table() -> Iterator[PlannedRun]:
    """Yield Tables 1 to 3: 3 datasets × 3 backbones × 8 heads × 3 seeds; of each dataset the first seed comes first."""
    results = paper_results()
    for dataset in dict.fromkeys(cell[0] for cell in results):
        for seed in SEEDS:
            for (cell_dataset, backbone, head, scale, margin), (mean, std) in results.items():
                if cell_dataset != dataset:
                    continue
                stds = [cell_std for cell, (_, cell_std) in results.items() if cell[:2] == (dataset, backbone)]
                pooled = math.sqrt(sum(one**2 for one in stds) / len(stds)), len(stds) * (RUNS - 1)
                numbers = {name: value for name, value in (("scale", scale), ("margin", margin)) if value is not None}
                options = {f"model.head.init_args.{name}": f"{value:g}" for name, value in numbers.items()}
                if head == "pedcc" and backbone == "vgg":
                    # This backbone ends in the layer that PEDCC-Loss adds to other backbones.
                    options["model.head.init_args.embedding_dim"] = "null"
                yield make_run(
                    f"{dataset}_{PAPER_HEADS[head]}",
                    {"model.backbone": PAPER_BACKBONES[backbone]} | options,
                    seed,
                    label="-".join([PAPER_HEADS[head], *(f"{value:g}" for value in numbers.values())]),
                    place=dataset,
                    tuned_on="paper",
                    declared=head != "scaled_batch_norm" or scale == DECLARED_SCALE,
                    paper=Published(mean, std, RUNS, paper_protocol(dataset, backbone), *pooled),
                )


def digits_table() -> Iterator[PlannedRun]:
    """Yield 4 heads × 3 seeds on the 1,797 digits of scikit-learn: a demonstration, not a result of the paper."""
    for seed in SEEDS:
        for head in DIGITS_HEADS:
            # The learning rate that all four share was chosen on these very test digits.
            yield make_run(f"digits_{head}", {}, seed, head, "digits", tuned_on="test set (learning rate)")


TABLES: dict[str, Callable[[], Iterator[PlannedRun]]] = {"digits": digits_table, "paper": paper_table}
