"""What is written down of a grid of runs: what each run is, and what was declared of it before any result."""

from pathlib import Path
from typing import Literal

import msgspec

from sbn_lightning.run.facts import Settings
from sbn_lightning.run.records import Results


class Protocol(msgspec.Struct, frozen=True):
    """How a published result was trained, as far as this decides the result; written as in results.json."""

    epochs: int
    batch_size: int
    optimizer: list[str]
    schedule: list[str]
    augmentation: str | None = None
    backbone_settings: Settings = {}
    classes: int | None = None

    def matches(self, results: Results) -> bool:
        """Whether a run is trained like this; precision, devices and a fused optimizer make no difference."""
        data, model, training, fit = results.data, results.model, results.training, results.fit
        if data is None or model is None or training is None:
            return False
        return (
            training.epochs == self.epochs
            and (fit is None or fit.epochs_done in (None, self.epochs))
            and training.is_plain
            and data.batch_size == self.batch_size
            and [text.replace(", fused=True", "") for text in training.optimizer] == self.optimizer
            and training.schedule == self.schedule
            and data.augmentation in (self.augmentation, None)  # older records do not have it
            and "val" not in data.images
            and model.backbone.settings == self.backbone_settings
            and self.classes in (data.classes, None)
        )


class Published(msgspec.Struct, frozen=True):
    """A result of the paper: accuracy in percent, over a number of runs."""

    mean: float
    std: float
    runs: int
    protocol: Protocol | None = None
    pooled_std: float | None = None  # over all heads that were published of the same data and backbone
    pooled_df: int | None = None  # degrees of freedom of pooled_std


class PlannedRun(msgspec.Struct, frozen=True):
    """A run of a grid: one training and its test. Dataset and label are as tables call them."""

    folder: str  # relative to the grid's folder: dataset/backbone/label/seedN
    dataset: str
    backbone: str  # its class
    head: str  # its class
    label: str  # the head with its settings
    settings: Settings  # of the head
    seed: int
    tuned_on: str = "nothing"  # what the head's settings were chosen on: "paper", "hold-out" or any short text
    declared: bool = True  # whether the head's settings were fixed before any result was known
    paper: Published | None = None
    arguments: list[str] = []  # options of `sbn fit` without --run_dir
    files: dict[str, str] = {}  # {path: SHA-256} of the YAML files that the arguments name

    def __post_init__(self) -> None:
        parts = Path(self.folder).parts
        if (
            Path(self.folder).is_absolute()
            or ".." in parts
            or "\0" in self.folder
            or max(map(len, parts), default=0) > 200
        ):
            raise ValueError(f"folder {self.folder[:200]!r} does not lie in the grid's folder")

    def published_for(self, results: Results) -> Published | None:
        """Return the paper's result if the run is trained like the paper's."""
        if self.paper is None or self.paper.protocol is None or self.paper.protocol.matches(results):
            return self.paper
        return None


class Grid(msgspec.Struct, frozen=True):
    """grid.json: the runs that a grid's folder holds, and what was declared of them before any result."""

    version: Literal[1] = 1
    runs: list[PlannedRun] = []
