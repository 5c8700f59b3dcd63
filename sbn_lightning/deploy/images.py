"""Where the images come from that a trained model is shown: files that a user names, or a split of a run's data.

Both are read batch by batch, by any threads; see `inference.computed`.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Event, Lock
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from sbn_lightning.data import ImageDataModule
from sbn_lightning.data.levels import decode_alone
from sbn_lightning.data.sources import BadImage, FolderSource
from sbn_lightning.deploy.named_files import NamedFile, NamedFiles, labels_text
from sbn_lightning.errors import counted
from sbn_lightning.run.identity import TrainedOn
from sbn_lightning.terminal import Row

SETS = {"test": "test set", "val": "validation set"}


class ImageBatch(NamedTuple):
    """N images, of which all parts are in the same order.

    Attributes:
        names: Where each comes from: the path of its file.
        images: (N, 3, H, W) uint8 pixels; black where there is an error.
        labels: (N,) int64 number of the class; -1 (named_files.UNKNOWN) where it is not known.
        errors: What is wrong with each file, such as `is empty`; an empty text if it could be used.
    """

    names: Sequence[str]
    images: Tensor
    labels: Tensor
    errors: Sequence[str]


ReadBatch = Callable[[Event], ImageBatch]
"""Reads a batch. It raises CancelledError soon after the event is set, which says that the batch is not needed."""


class ImageSource(Protocol):
    """Where images come from."""

    @property
    def count(self) -> int:
        """Number of images."""

    @property
    def has_labels(self) -> bool:
        """Whether the class of any image is known."""

    def __str__(self) -> str:
        """What they are and how many: `360 images of the test set`."""

    def batches(self, batch_size: int) -> Iterator[ReadBatch]:
        """Yield functions, each of which reads a batch of `batch_size` images; the last batch may be smaller."""

    def remarks(self) -> list[Row]:
        """What is to be said of the images after they were read."""


class SplitOfRun:
    """The images of a split of a run's data, as they were packed for the training; all have labels.

    Args:
        data: The run's data, set up.
        split: `val` or `test`.
    """

    has_labels = True

    def __init__(self, data: ImageDataModule, split: str) -> None:
        self.data, self.split = data, split
        self.count = data.num_images[split]

    def __str__(self) -> str:
        return f"{counted(self.count, 'image')} of the {SETS[self.split]}"

    def batches(self, batch_size: int) -> Iterator[ReadBatch]:
        """See ImageSource."""
        names = self.data.image_names(self.split)
        for rows in torch.arange(self.count).split(batch_size):
            yield partial(self._read, rows, names[int(rows[0]) : int(rows[-1]) + 1])

    def _read(self, rows: Tensor, names: list[str], left: Event) -> ImageBatch:
        images, labels = self.data.stored_images(self.split, rows), self.data.stored_labels(self.split, rows)
        return ImageBatch(names, images, labels, [""] * len(rows))

    def remarks(self) -> list[Row]:
        """See ImageSource."""
        return []


class ImageFiles:
    """Image files that a user names, with the same pixels as in training.

    Gray images of 16 bits are taken as the training's were: with the number of bits that the highest level among all of
    those needed. If there were none in training, each is taken with as many bits as its own highest level needs, so
    that its answer does not depend on the other files.

    Args:
        arguments: Files, folders and patterns; see NamedFiles, which says what is refused.
        trained_on: What the model was trained on.
    """

    def __init__(self, arguments: Sequence[str], trained_on: TrainedOn) -> None:
        self.files = NamedFiles(arguments, trained_on.class_names)
        self.count, self.has_labels = self.files.count, self.files.has_labels
        self.trained_on = trained_on
        self._deep, self._count_lock = 0, Lock()  # images of 16 bits, which threads count

    def __str__(self) -> str:
        return f"{counted(self.count, 'file')}{', whose folders say the classes' if self.has_labels else ''}"

    def batches(self, batch_size: int) -> Iterator[ReadBatch]:
        """See ImageSource."""
        files = iter(self.files)
        while group := list(islice(files, batch_size)):
            yield partial(self._read, group)

    def _read(self, files: Sequence[NamedFile], left: Event) -> ImageBatch:
        data, source = self.trained_on, FolderSource(Path())
        images = np.zeros((len(files), 3, *data.image_size), np.uint8)
        errors = [file.error for file in files]
        for number, file in enumerate(files):
            if left.is_set():
                raise CancelledError  # a batch of large photos takes a minute to read
            if not file.error:
                try:
                    decoded = decode_alone(source.read(file.path), data.image_size, data.fit, data.bits)
                except BadImage as problem:
                    errors[number] = str(problem)
                else:
                    images[number] = decoded.pixels
                    with self._count_lock:
                        self._deep += decoded.highest > 0
        labels = torch.tensor([file.label for file in files])
        return ImageBatch([file.path for file in files], torch.from_numpy(images), labels, errors)

    def remarks(self) -> list[Row]:
        """See ImageSource."""
        rows = []
        if self.files.repeated:
            rows.append(("Named again", f"{counted(self.files.repeated, 'file')}, each read once"))
        if self.files.unlabelled:
            rows.append(("No labels", labels_text(self.files)))
        if self._deep:
            bits = self.trained_on.bits
            taken = f"as {bits} bits, like the training's" if bits else "with as many bits as each needs"
            rows.append(("Levels", f"{counted(self._deep, '16-bit image')} taken {taken}"))
        return rows
