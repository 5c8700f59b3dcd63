"""What a run is, as its record tells it: its data, model, training and machine."""

from typing import Any

import msgspec

Settings = dict[str, Any]
COMPARED_BY = ("scale", "margin")
"""Settings of a head that stand in its label, also where all heads agree on them."""


class ClassFacts(msgspec.Struct, frozen=True):
    name: str
    training_images: int


class DataFacts(msgspec.Struct, frozen=True):
    """The images of a run."""

    name: str  # class of the data module
    images: dict[str, int]  # number in each split
    classes: int
    batch_size: int
    shape: list[int] | None = None  # (3, H, W)
    smallest_class: ClassFacts | None = None
    largest_class: ClassFacts | None = None
    validation: str | None = None  # what each epoch ends with: `val`, `test_each_epoch` or None
    fingerprint: str | None = None  # the same for the same images, labels and class names, on any machine
    augmentation: str | None = None
    class_names: list[str] = []  # of each label; empty in older records
    evaluation_batch_size: int | None = None  # None where it was left to the program


class ModuleFacts(msgspec.Struct, frozen=True):
    """A backbone or a head."""

    name: str  # its class
    settings: Settings  # as the command line gave them
    parameters: int | None = None  # number of trainable ones
    title: str = ""  # for people

    def __post_init__(self) -> None:
        if not self.title:
            msgspec.structs.force_setattr(self, "title", self.name.removesuffix("Head"))

    @property
    def label(self) -> str:
        """The title and the settings by which heads are compared, e.g. `SBN, scale 0.9`."""
        return ", ".join([self.title, *(setting(n, self.settings[n]) for n in COMPARED_BY if n in self.settings)])


def setting(name: str, value: object) -> str:
    """E.g. scale 0.9; the value of a class of one's own may be of any type."""
    return f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"


class ModelFacts(msgspec.Struct, frozen=True):
    backbone: ModuleFacts
    head: ModuleFacts


class TrainingFacts(msgspec.Struct, frozen=True):
    """How a run is trained; epochs and steps as planned, steps None where no end is set."""

    seed: int
    epochs: int | None  # -1 where only the number of steps, or the time, is limited
    steps: int | None = None
    steps_per_epoch: int | None = None
    batches_per_epoch: int | None = None
    last_batch: int | None = None  # images in the last batch of an epoch
    accumulate: int = 1  # number of batches whose gradients are averaged for one step
    devices: int = 1
    sync_batchnorm: bool = False  # whether the backbone's batch normalization is over all devices
    divided_head: bool = False  # whether the head's classes are divided among the devices
    precision: str | None = None
    gradient_clip: float | None = None
    gradient_clip_algorithm: str | None = None  # `norm` or `value`; None in older records
    optimizer: list[str] = []  # a description of each
    schedule: list[str] = []  # a description of each learning-rate schedule
    limits: list[str] = []  # what shortens the training or its epochs, e.g. `max_steps 17`
    callbacks: list[str] = []  # those that may change the training, e.g. `EarlyStopping(monitor=val/loss)`
    changes: list[str] = []  # the settings that changed where the run was continued

    @property
    def is_plain(self) -> bool:
        """Whether every epoch is over all training images, a step is of one batch, and nothing else interferes."""
        return self.accumulate == 1 and self.gradient_clip is None and not (self.limits + self.callbacks + self.changes)


class HardwareFacts(msgspec.Struct, frozen=True):
    """The device that trains."""

    device: str
    name: str
    cpu_cores: int | None = None  # of the machine
