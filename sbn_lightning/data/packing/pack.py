"""Writing a packed store: whole or not at all, by one process at a time.

A store is written to a temporary folder beside its place, and renamed into it when it is complete.
"""

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import ArrayLike
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sbn_lightning.data.packing.decode import Fit
from sbn_lightning.data.packing.sources import Decoder, Source, decoding
from sbn_lightning.data.packing.store import VERSION, Manifest, write_manifest
from sbn_lightning.errors import UsageError


@dataclass(frozen=True)
class Contents:
    """What the rows of a store are.

    Attributes:
        class_names: Name of each label.
        labels: (N,) label of each row; of a row that is in no split, any number.
        splits: The rows of `train`, `test` and perhaps `val`; those that could not be decoded are taken out of them.
        left_out: Further lines for the manifest's `skipped`.
        held_out: As the manifest's.
    """

    class_names: list[str]
    labels: ArrayLike
    splits: Mapping[str, ArrayLike]
    left_out: list[str] = field(default_factory=list)
    held_out: float = 0.0


class NewStore:
    """A store that is being written: `put` or `decode` fills its rows with images.

    Args:
        folder: Where it will be.
        temporary: Where it is written.
        title: What it holds, for messages.
    """

    def __init__(self, folder: Path, temporary: Path, title: str) -> None:
        self.folder = folder
        self.temporary = temporary
        self.title = title
        self.skipped: list[str] = []

    def put(self, names: Sequence[str], *arrays: np.ndarray) -> None:
        """Write images that are in memory.

        Args:
            names: N, what each image is called.
            arrays: (n, 3, H, W) uint8 each, N images in all.
        """
        self._create(names, arrays[0].shape[2:])
        first = 0
        for array in arrays:
            assert array.dtype == np.uint8
            self.images[first : first + len(array)] = array
            first += len(array)
        assert first == len(names)

    def decode(
        self,
        source: Source,
        names: Sequence[str],
        image_size: tuple[int, int],
        fit: Fit = "squash",
        on_bad_image: Literal["error", "skip"] = "error",
    ) -> np.ndarray:
        """Decode image files, one into each row.

        Args:
            source: Holds the files.
            names: N files in it.
            image_size: H and W, pixels.
            fit: As decode_image's.
            on_bad_image: What to do about an image that cannot be used: the first one is an error, or all are skipped.

        Returns:
            (N,) bool, whether the image could be used.
        """
        self._create(names, image_size)
        decoder = Decoder(source, self.temporary / "images.npy", fit)
        with _progress_bar(len(names)) as advance, decoding(decoder, names) as results:
            first = 0
            for problems in results:
                for row, problem in enumerate(problems, first):
                    if problem and on_bad_image == "error":
                        raise UsageError(
                            f"{source.path}/{names[row]} {problem}; replace or remove it, or leave out such images "
                            "with --data.on_bad_image skip"
                        )
                    if problem:
                        self.readable[row] = False
                        self.skipped.append(f"{names[row]}: {problem}")
                first += len(problems)
                advance(len(problems))
        return self.readable

    def finish(self, fingerprint: dict[str, Any], contents: Contents) -> Manifest:
        """Write what stands beside the images."""
        labels = np.asarray(contents.labels, np.int64)
        every_row = {name: np.asarray(rows, np.int64) for name, rows in contents.splits.items()}
        splits: dict[str, Any] = {name: rows[self.readable[rows]] for name, rows in every_row.items()}
        for name, rows in splits.items():
            if not len(rows):
                raise UsageError(f"the {name} split of {self.title} holds no images that can be read")
            assert labels[rows].min() >= 0
            assert labels[rows].max() < len(contents.class_names)
        mean, std = _mean_and_std(self.images, splits["train"])
        manifest = Manifest(
            version=VERSION,
            fingerprint=fingerprint,
            class_names=contents.class_names,
            num_images={name: len(rows) for name, rows in splits.items()},
            image_size=self.images.shape[2:],
            mean=mean,
            std=std,
            skipped=[*self.skipped, *contents.left_out],
            held_out=contents.held_out,
        )
        with _writing_to(self.folder):
            np.save(self.temporary / "labels.npy", labels)
            np.savez(self.temporary / "splits.npz", **splits)
            write_manifest(self.temporary, manifest)
        return manifest

    def _create(self, names: Sequence[str], image_size: Sequence[int]) -> None:
        """Reserve room on the disk for all images: `images`, mapped."""
        shape = (len(names), 3, *image_size)
        size = int(np.prod(shape))
        print(
            f"Packing {self.title} into {self.folder}: {len(names):,} images, {size / 1e6:,.0f} MB on the disk; "
            "training maps them and holds a batch at a time in memory",
            flush=True,
        )
        self.readable = np.ones(len(names), bool)
        with _writing_to(self.folder):
            free = shutil.disk_usage(self.temporary).free
            if size > free:
                raise OSError(f"{size / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free")
            np.save(self.temporary / "names.npy", np.array([os.fsencode(name) for name in names]))
            file = self.temporary / "images.npy"
            self.images = np.lib.format.open_memmap(file, mode="w+", dtype=np.uint8, shape=shape)
            if hasattr(os, "posix_fallocate"):
                # A mapped page for which the disk has no room would kill the process; so all are reserved first.
                with open(file, "r+b") as images:
                    os.posix_fallocate(images.fileno(), 0, file.stat().st_size)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let only one process at a time look for a store in folder and write it; the others wait."""
    with _writing_to(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f".{folder.name}.lock")
        lock.acquire()
    try:
        yield
    finally:
        lock.release()


def write_store(
    folder: Path, title: str, fingerprint: dict[str, Any], fill: Callable[[NewStore], Contents]
) -> Manifest:
    """Write the store in folder, while it is locked; an older one there is replaced.

    Args:
        folder: Where the store will be.
        title: What it holds, for messages.
        fingerprint: Identifies the source.
        fill: Fills the rows of the new store, and says what they are.

    Raises:
        UsageError: If no image of a split can be read.
        UsageError: If the disk is full or not writable; nothing is left behind.
    """
    new, older = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("new", "older"))
    try:
        with _writing_to(folder):
            for left in (new, older):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            new.mkdir(parents=True)
        store = NewStore(folder, new, title)
        manifest = store.finish(fingerprint, fill(store))
        with _writing_to(folder):
            if folder.exists():
                os.rename(folder, older)
            os.rename(new, folder)
    finally:
        for left in (new, older):
            shutil.rmtree(left, ignore_errors=True)
    return manifest


def _mean_and_std(images: np.ndarray, rows: np.ndarray) -> tuple[Any, Any]:
    """Mean and standard deviation of each channel of these rows, exactly, from its pixel histogram (3, 256)."""
    histogram = np.zeros((3, 256), np.int64)
    for piece in np.array_split(rows, -(-len(rows) // 128)):
        pixels = images[piece]
        for channel in range(3):  # by Pillow, twice as fast as numpy's bincount
            plane = np.ascontiguousarray(pixels[:, channel]).reshape(len(pixels), -1)
            histogram[channel] += Image.fromarray(plane).histogram()
    share = histogram / histogram.sum(1, keepdims=True)
    levels = np.arange(256) / 255
    mean = share @ levels
    std = np.sqrt((share * (levels - mean[:, None]) ** 2).sum(1))
    return tuple(mean.tolist()), tuple(std.tolist())


@contextmanager
def _writing_to(folder: Path) -> Iterator[None]:
    """Say of what goes wrong while writing where that was, and what to do."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"the packed images cannot be written to {folder}: {error.strerror or error}; "
            "make room there, or name another folder with --data.packed_dir DIR"
        ) from error


@contextmanager
def _progress_bar(num_images: int) -> Iterator[Callable[[int], None]]:
    """A bar on terminals; the function given counts further images."""
    columns = (TextColumn("packing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    # Drawn by hand, since a process with a thread that prints must not be forked.
    with Progress(
        *columns, transient=True, auto_refresh=False, disable=not (sys.stdout and sys.stdout.isatty())
    ) as progress:
        task = progress.add_task("", total=num_images)
        drawn = 0.0

        def advance(count: int) -> None:
            nonlocal drawn
            progress.advance(task, count)
            if time.monotonic() > drawn + 0.2:
                progress.refresh()
                drawn = time.monotonic()

        yield advance
