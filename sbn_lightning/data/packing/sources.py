"""Image files in a folder or a zip, decoded by all cores."""

import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol
from zipfile import BadZipFile, ZipFile

import numpy as np
from torch.utils.data import DataLoader, Dataset

from sbn_lightning.data.packing.decode import BadImage, Fit, decode_image
from sbn_lightning.data.packing.store import Decoded
from sbn_lightning.errors import UsageError

__all__ = ["BadImage", "Fit", "FolderSource", "Source", "ZipSource", "decode_files", "decode_image"]

CHUNK = 128  # images that a process decodes at a time


class Source(Protocol):
    """Where image files lie."""

    @property
    def path(self) -> Path:
        """The folder or archive."""

    def read(self, name: str) -> bytes:
        """A file's content; BadImage if it cannot be read."""


@dataclass(frozen=True)
class FolderSource:
    """The files in a folder, named by their path relative to it."""

    path: Path

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise BadImage(f"cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class ZipSource:
    """The members of a zip archive; nothing is extracted."""

    path: Path

    @cached_property
    def archive(self) -> ZipFile:
        """The archive, its directory read once."""
        try:
            return ZipFile(self.path)
        except (BadZipFile, EOFError) as error:
            raise UsageError(f"{self.path} is truncated or no zip archive ({error}); get it again") from error

    def read(self, name: str) -> bytes:
        try:
            return _opened_by(os.getpid(), self.archive).read(name)
        except KeyError as error:
            raise BadImage("is not in the archive") from error
        except (BadZipFile, NotImplementedError, RuntimeError, zlib.error, OSError, EOFError) as error:
            raise BadImage(f"cannot be read from the archive ({error})") from error

    def __reduce__(self) -> tuple[type["ZipSource"], tuple[Path]]:
        return ZipSource, (self.path,)  # another process opens the archive itself


@lru_cache(maxsize=1)
def _opened_by(process: int, archive: ZipFile) -> ZipFile:
    """The archive with an open file of the process's own: those that share one move each other's position in it."""
    own = copy(archive)
    own.fp = open(str(archive.filename), "rb")  # noqa: SIM115  (closed with the archive)
    return own


def decode_files(
    source: Source,
    names: Sequence[str],
    labels: Sequence[int],
    image_size: tuple[int, int],
    fit: Fit = "squash",
    on_bad_image: Literal["error", "skip"] = "error",
) -> Decoded:
    """Decode files, in their order, by as many processes as there are cores.

    The processes run while the chunks are being read, and end with the last, or when the reader stops.

    Args:
        source: Holds the files.
        names: N files in it.
        labels: N.
        image_size: H and W, pixels.
        fit: As decode_image's.
        on_bad_image: What to do about an image that cannot be used; the first one is an error, or all are skipped.
    """
    skipped: list[str] = []

    def chunks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        files = _Chunks(source, names, labels, image_size, fit)
        for images, labels_of_chunk, problems in _by_all_cores(files):
            if problems and on_bad_image == "error":
                raise BadImage(
                    f"{source.path}/{problems[0][0]} {problems[0][1]}; replace or remove it, or leave out such images "
                    "with --data.on_bad_image skip"
                )
            skipped.extend(f"{name}: {problem}" for name, problem in problems)
            yield images, labels_of_chunk

    return Decoded(len(names), image_size, chunks(), skipped)


@dataclass
class _Chunks(Dataset):
    """Chunk i: images (n, 3, H, W), labels (n,), and (name, problem) of each file that cannot be used."""

    source: Source
    names: Sequence[str]
    labels: Sequence[int]
    image_size: tuple[int, int]
    fit: Fit

    def __len__(self) -> int:
        return -(-len(self.names) // CHUNK)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
        rows = slice(number * CHUNK, (number + 1) * CHUNK)
        names, labels = self.names[rows], np.asarray(self.labels[rows])
        images = np.empty((len(names), 3, *self.image_size), np.uint8)
        good, problems = [], []
        for row, name in enumerate(names):
            try:
                images[row] = decode_image(self.source.read(name), self.image_size, self.fit)
                good.append(row)
            except BadImage as problem:
                problems.append((name, str(problem)))
        return (images[good], labels[good], problems) if problems else (images, labels, problems)


def _by_all_cores(dataset: _Chunks) -> Iterator[Any]:
    """The dataset's items in order; a PyTorch DataLoader is the pool of processes."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, len(dataset)) if len(dataset) > 1 else 0
    # torch's own start of processes on Linux, where a new interpreter would take longer than many a data set.
    context = ("fork" if sys.platform == "linux" else "spawn") if workers else None
    items: Any = iter(
        DataLoader(dataset, batch_size=None, collate_fn=_as_it_is, num_workers=workers, multiprocessing_context=context)
    )
    try:
        yield from items
    finally:
        if workers:  # not left to garbage collection: an error's traceback would keep the processes alive
            items._shutdown_workers()


def _as_it_is(item: Any) -> Any:
    return item
