"""Where the images come from that a trained model is shown: files that a user names, or a split of a run's data.

Both are read batch by batch, in order, while the model computes, and few batches are in memory at a time.
"""

import math
import os
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from functools import partial
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from sbn_lightning.data import ImageDataModule
from sbn_lightning.data.decode import Fit
from sbn_lightning.data.levels import decode_alone
from sbn_lightning.data.pool import AHEAD, by_all_cores, cores
from sbn_lightning.data.sources import BadImage, FolderSource
from sbn_lightning.deploy.named_files import NamedFile, NamedFiles, labels_text
from sbn_lightning.errors import UsageError, counted
from sbn_lightning.run.identity import TrainedOn
from sbn_lightning.terminal import Row

FEWEST, MOST = 8, 64  # files that a process decodes at a time, unless their pixels take more memory than this:
PIECE_BYTES = 2**23
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

    def batches(self, batch_size: int) -> Generator[ImageBatch, None, None]:
        """Yield the images, at most so many at a time. Whoever leaves early closes this."""

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

    def batches(self, batch_size: int) -> Generator[ImageBatch, None, None]:
        """See ImageSource."""
        self.data.evaluation_batch_size = batch_size
        names = iter(self.data.image_names(self.split))
        for images, labels, _ in getattr(self.data, f"{self.split}_dataloader")():
            own_names = list(islice(names, len(labels)))
            yield ImageBatch(own_names, images.cpu(), labels.cpu(), [""] * len(labels))

    def remarks(self) -> list[Row]:
        """See ImageSource."""
        return []


class ImageFiles:
    """Image files that a user names, decoded by all cores, with the same pixels as in training.

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
        self._deep = 0

    def __str__(self) -> str:
        return f"{counted(self.count, 'file')}{', whose folders say the classes' if self.has_labels else ''}"

    def batches(self, batch_size: int) -> Generator[ImageBatch, None, None]:
        """See ImageSource. Files are read while the batches before are used."""
        image_bytes = 3 * math.prod(self.trained_on.image_size)
        size = min(max(FEWEST, self.count // (4 * cores())), MOST, max(1, PIECE_BYTES // image_bytes))
        at_once = -(-batch_size // size)  # pieces in a batch
        size = batch_size // at_once
        slots = at_once + AHEAD * cores()  # in which the pieces of a batch, and those in flight, have room
        with TemporaryDirectory(prefix="sbn-") as folder:
            # Processes that share a file with this one hand over no pixels.
            file = Path(folder) / "images.npy"
            pixels = np.lib.format.open_memmap(file, "w+", np.uint8, (slots * size, 3, *self.trained_on.image_size))
            take_room(file)
            groups = enumerate(grouped(self.files, size))
            pieces = (Piece(number % slots * size, group) for number, group in groups)
            decode = partial(decode_piece, file, self.trained_on.fit, self.trained_on.bits)
            with closing(by_all_cores(decode, pieces, -(-self.count // size), give_way)) as decoded:
                while batch := list(islice(decoded, at_once)):
                    self._deep += sum(piece.deep for piece in batch)
                    yield ImageBatch(
                        [file.path for piece in batch for file in piece.files],
                        torch.from_numpy(
                            np.concatenate([pixels[piece.first :][: len(piece.files)] for piece in batch])
                        ),
                        torch.tensor([file.label for piece in batch for file in piece.files]),
                        [error for piece in batch for error in piece.errors],
                    )

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


class Piece(NamedTuple):
    """A few files, and the row of the shared array that the first of them is decoded into."""

    first: int
    files: Sequence[NamedFile]


class DecodedPiece(NamedTuple):
    """The same, with what is wrong with each file, and how many have 16 bits."""

    first: int
    files: Sequence[NamedFile]
    errors: list[str]
    deep: int


def decode_piece(array: Path, fit: Fit, bits: int | None, piece: Piece) -> DecodedPiece:
    """Decode a few files into their rows, in a process of the pool."""
    pixels = np.lib.format.open_memmap(array, "r+")
    source, deep = FolderSource(Path()), 0
    errors = [file.error for file in piece.files]
    for number, file in enumerate(piece.files):
        row = piece.first + number
        pixels[row] = 0
        if not file.error:
            try:
                decoded = decode_alone(source.read(file.path), pixels.shape[2:], fit, bits)
            except BadImage as problem:
                errors[number] = str(problem)
            else:
                pixels[row] = decoded.pixels
                deep += decoded.highest > 0
    return DecodedPiece(*piece, errors, deep)


def take_room(file: Path) -> None:
    """Have the disk keep room for the whole of a file: a process that finds none when it writes into memory that is
    mapped to it would be killed."""
    if hasattr(os, "posix_fallocate"):  # not on Windows and macOS
        try:
            with open(file, "r+b") as stream:
                os.posix_fallocate(stream.fileno(), 0, file.stat().st_size)
        except OSError as error:
            raise UsageError(
                f"{file.parent.parent}, the folder for temporary files, has no room ({error.strerror}) for the "
                f"{file.stat().st_size / 2**20:,.1f} MiB of decoded images; make room, or name another with TMPDIR=DIR"
            ) from error


def give_way() -> None:
    """Let the model's threads go before this process: each layer waits for the last of them."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(10)


def grouped(files: Iterable[NamedFile], size: int) -> Iterator[list[NamedFile]]:
    """Yield so many files at a time."""
    rest = iter(files)
    while group := list(islice(rest, size)):
        yield group
