"""What a checkpoint was trained on, and the name under which an evaluation of it is recorded."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import FINISHED, LAST
from sbn_lightning.run.records import PARTIAL, Results

Fit = Literal["crop", "squash", "letterbox"]
"""How an image of another shape becomes one of the right shape, see `data.decode`."""
Pixels = Annotated[int, msgspec.Meta(ge=1)]
TRAINED_ON = "trained_on"
"""Where a checkpoint keeps TrainedOn."""
SHOWN = 5
"""Class names that a message lists."""


class TrainedOn(msgspec.Struct, frozen=True):
    """The data of a training, as its checkpoint keeps them.

    Attributes:
        class_names: What each output of the model means.
        image_size: H and W, pixels.
        mean, std: Of each channel over all training images, in units of full scale.
        images: Number in each split of the packed images, before some are held out.
        fingerprint: Tells these images, labels and class names from others.
        fit: How images of another shape were brought to this size, see `data.decode`; earlier versions do not say.
        bits: How many bits the 16-bit gray images had; None if there were none.
    """

    class_names: list[str]
    image_size: tuple[Pixels, Pixels]
    mean: list[float]
    std: list[float]
    images: dict[str, int]
    fingerprint: str
    fit: Fit = "crop"
    bits: int | None = None

    def other_in(self, here: "TrainedOn") -> list[str]:
        """Return in words why a model that was trained on this does not mean the same on other data."""
        return [*other_classes(self.class_names, here.class_names), *other_size(self.image_size, here.image_size)]

    def other_images_in(self, here: "TrainedOn") -> str:
        """Return in words how the images differ; an empty text if they are the same."""
        if self.fingerprint == here.fingerprint:
            return ""
        if self.images == here.images:
            return "as many in each split, but others"
        splits = self.images | here.images
        return "; ".join(f"{s}: {self.images.get(s, 0):,} there, {here.images.get(s, 0):,} here" for s in splits)


class StoredRun(msgspec.Struct, frozen=True):
    """What is stored of a run in its checkpoints; another program stores nothing of it."""

    settings: dict[str, Any] = {}  # of the training, {option: value}
    images: dict[str, int] = {}  # number in each split
    data: TrainedOn | None = None
    buffers: list[str] = []  # names of what the model's state holds besides weights


class Evaluated(msgspec.Struct, frozen=True):
    """A checkpoint that is evaluated.

    Attributes:
        file: Its path.
        is_of_run: Whether it lies among the checkpoints of the run's folder.
        step: Number of optimizer steps that it was trained for; None if it does not say.
        sha256: Of the file.
        run: What the run has added to it.
    """

    file: Path
    is_of_run: bool
    step: int | None
    sha256: str
    run: StoredRun = StoredRun()

    def entry(self, command: str, fingerprint: str, results: Results, is_partial: bool = False) -> str:
        """Return the name under which results.json keeps what a command gives for this checkpoint.

        It is `test` for the end of the run's training on the run's own images, and `test_best` for its best.ckpt.
        Whatever else is evaluated has a name of its own, and replaces neither: another file, other images, a part of
        the images, or a last.ckpt of a later training that has not ended.

        Args:
            command: test or validate.
            fingerprint: Of the data that it is evaluated on.
            results: The record of the run's folder.
            is_partial: Whether a part of the images was seen.
        """
        name = command if self.file.name in (LAST, FINISHED) else f"{command}_{self.file.stem}"
        end = results.fit and results.fit.step
        if self.file.name == LAST and None not in (end, self.step) and end != self.step:
            name += f"_step_{self.step}"
        if not self.is_of_run and results.training is not None:
            name += f"_{self.sha256[:8]}"
        name = name if self.is_trained_on(fingerprint, results) else f"{name}_on_{fingerprint[:8]}"
        return f"{name}{PARTIAL}" if is_partial else name

    def is_trained_on(self, fingerprint: str, results: Results) -> bool:
        """Whether it was trained on this data, as far as it or the run's record says."""
        recorded = results.data.fingerprint if results.data and self.is_of_run else None
        trained_on = self.run.data.fingerprint if self.run.data else recorded
        return trained_on in (None, fingerprint)

    def other_images_text(self, here: Mapping[str, int]) -> str:
        """Say that the images are not those of the training, given the number in each split."""
        there, now = (", ".join(f"{n:,} {split}" for split, n in images.items()) for images in (self.run.images, here))
        return f"not the images of the training{f' ({there})' if there else ''}, but {now}"


def stored_run(file: object, checkpoint: Mapping[str, Any]) -> StoredRun:
    """Return what a checkpoint holds of its run. Anything else there is a UsageError."""
    run = checkpoint.get("run", {})
    if TRAINED_ON in checkpoint:  # earlier versions have it as run["data"]
        run = run | {"data": checkpoint[TRAINED_ON]}
    try:
        return msgspec.convert(run, StoredRun)
    except msgspec.ValidationError as error:
        raise UsageError(f"{file} was not written by sbn fit, or is damaged: in its 'run', {error}") from error


def other_classes(there: Sequence[str], here: Sequence[str]) -> list[str]:
    """Return how the class names differ, as `its classes are …`; nothing if they do not."""
    if list(there) == list(here):
        return []
    if sorted(there) == sorted(here):
        first = next(number for number, pair in enumerate(zip(there, here, strict=True)) if pair[0] != pair[1])
        return [f"its classes are in another order: class {first} is {there[first]!r} there, {here[first]!r} here"]
    missing, new = ([name for name in one if name not in set(other)] for one, other in ((there, here), (here, there)))
    parts = [(f"of its {len(there)} classes these are not here", missing), ("these are here only", new)]
    return [f"{text}: {names(listed)}" for text, listed in parts if listed]


def other_size(there: Sequence[int], here: Sequence[int]) -> list[str]:
    if tuple(there) == tuple(here):
        return []
    return [f"its images are of {'×'.join(map(str, there))} pixels, these of {'×'.join(map(str, here))}"]


def names(listed: Sequence[str]) -> str:
    """Return the first names, and how many more there are."""
    more = f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else ""
    return ", ".join(map(repr, listed[:SHOWN])) + more
