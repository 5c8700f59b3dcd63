"""The grids that come with `sbn reproduce`."""

from collections.abc import Callable, Iterator

from sbn_lightning.reproduce.grid import Run, make_run
from sbn_lightning.reproduce.paper import RUNS, paper_results

SEEDS = (0, 1, 2)
DECLARED_SCALE = 0.9  # of the paper's three; a best of three set against one softmax would flatter

# Names in paper_tables.csv -> ours.
PAPER_BACKBONES = {"vgg": "LSoftmaxVGG", "resnet18": "ResNet18", "resnet50": "ResNet50"}
PAPER_HEADS = {"softmax": "softmax", "am_softmax": "am_softmax", "pedcc": "pedcc", "scaled_batch_norm": "sbn"}

DIGITS_HEADS = ("softmax", "sbn", "am_softmax", "pedcc")


def paper_table() -> Iterator[Run]:
    """Tables 1 to 3: 3 datasets × 3 backbones × 8 heads × 3 seeds; a dataset's first seeds come first."""
    results = paper_results()
    for dataset in dict.fromkeys(cell[0] for cell in results):
        for seed in SEEDS:
            for (cell_dataset, backbone, head, scale, margin), (mean, std) in results.items():
                if cell_dataset != dataset:
                    continue
                settings = {"scale": scale, "margin": margin}
                if head == "pedcc" and backbone == "vgg":
                    settings["embedding_dim"] = None  # this net ends in PEDCC-Loss's neck itself
                arguments = ["--config", f"{dataset}_{PAPER_HEADS[head]}"]
                arguments += ["--model.backbone", PAPER_BACKBONES[backbone]]
                for name, value in settings.items():
                    if value is not None or name == "embedding_dim":
                        arguments += [f"--model.head.init_args.{name}", "null" if value is None else f"{value:g}"]
                numbers = [f"{value:g}" for value in (scale, margin) if value is not None]
                yield make_run(
                    arguments,
                    seed,
                    label="-".join([PAPER_HEADS[head], *numbers]),
                    place=dataset,
                    tuned_on="paper",
                    declared=head != "scaled_batch_norm" or scale == DECLARED_SCALE,
                    paper={"mean": mean, "std": std, "runs": RUNS},
                )


def digits_table() -> Iterator[Run]:
    """Four heads × 3 seeds on the 1,797 digits that scikit-learn ships: a demonstration, no result of the paper."""
    for seed in SEEDS:
        for head in DIGITS_HEADS:
            # The learning rate that all four share was chosen on these very test digits.
            yield make_run(["--config", f"digits_{head}"], seed, head, "digits", tuned_on="test set (learning rate)")


TABLES: dict[str, Callable[[], Iterator[Run]]] = {"digits": digits_table, "paper": paper_table}
