"""The grids that come with `sbn reproduce`: the paper's Tables 1 to 3, and the digits."""

import csv
from collections.abc import Callable, Iterator
from pathlib import Path

from sbn_lightning.reproduce.grid import make_run
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


def paper_results() -> dict[Cell, tuple[float, float]]:
    """Return mean and standard deviation of each cell's test accuracy in percent, in the order of the tables."""
    with (Path(__file__).parent / "paper_tables.csv").open(newline="", encoding="utf-8") as file:
        return {
            (row["dataset"], row["backbone"], row["head"], _number(row["scale"]), _number(row["margin"])): (
                float(row["accuracy_mean_percent"]),
                float(row["accuracy_std_percent"]),
            )
            for row in csv.DictReader(file)
        }


def _number(text: str) -> float | None:
    return float(text) if text else None


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
                    paper=Published(mean, std, RUNS, paper_protocol(dataset, backbone)),
                )


def digits_table() -> Iterator[PlannedRun]:
    """Yield 4 heads × 3 seeds on the 1,797 digits of scikit-learn: a demonstration, not a result of the paper."""
    for seed in SEEDS:
        for head in DIGITS_HEADS:
            # The learning rate that all four share was chosen on these very test digits.
            yield make_run(f"digits_{head}", {}, seed, head, "digits", tuned_on="test set (learning rate)")


TABLES: dict[str, Callable[[], Iterator[PlannedRun]]] = {"digits": digits_table, "paper": paper_table}
