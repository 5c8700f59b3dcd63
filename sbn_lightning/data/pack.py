"""Writing a packed store: in a temporary folder beside its place, into which it is renamed when it is complete."""

import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from filelock import FileLock
from numpy.typing import ArrayLike
from PIL import Image

from sbn_lightning.data.decode import Fit
from sbn_lightning.data.decode_files import OnBadImage, decode_files
from sbn_lightning.data.sources import Source
from sbn_lightning.data.store import Manifest
from sbn_lightning.errors import UsageError, counted
from sbn_lightning.terminal import show

SAID = 10  # lines about what is not read that are printed


@dataclass(frozen=True)
class Contents:
    """What the rows of a store are.

    Attributes:
        class_names: Name of each label.
        labels: (N,) label of each row; of a row that is in no split, any number.
        splits: The rows of `train`, `test` and perhaps `val`; those that could not be decoded are taken out of them.
        left_out: Further lines for the manifest's `skipped`, about what is not read.
    """

    class_names: list[str]
    labels: ArrayLike
    splits: Mapping[str, ArrayLike]
    left_out: list[str] = field(default_factory=list)


class NewStore:
    """The images of a store that is being written to `temporary`, to be moved to `folder`; `put` or `decode` fills its
    rows."""

    def __init__(self, folder: Path, temporary: Path, title: str) -> None:
        self.folder = folder
        self.title = title
        self.file = temporary / "images.npy"
        self.skipped: list[str] = []
        self.bits: int | None = None  # of 16-bit gray images

    def put(self, names: Sequence[str], images: np.ndarray) -> None:
        """Write images (N, 3, H, W) uint8 that are in memory; each has a name."""
        self._create(names, images.shape[2:])
        self.images[:] = images

    def decode(
        self, source: Source, names: Sequence[str], image_size: tuple[int, int], fit: Fit, on_bad_image: OnBadImage
    ) -> np.ndarray:
        """Decode N image files, one into each row, to H × W pixels; `fit` is decode_image's.

        Returns (N,) bool, whether the image could be used. Unless on_bad_image is `skip`, one that cannot is an error.
        """
        self._create(names, image_size)
        problems, self.bits = decode_files(source, names, self.file, fit, on_bad_image)
        self.skipped = [f"{name}: {problem}" for name, problem in zip(names, problems, strict=True) if problem]
        self.readable = np.array([not problem for problem in problems])
        return self.readable

    def _create(self, names: Sequence[str], image_size: Sequence[int]) -> None:
        """Reserve room on the disk for all images: `images`, mapped."""
        shape = (len(names), 3, *image_size)
        size = int(np.prod(shape))
        text = (
            f"{self.title} into {self.folder}: {len(names):,} images, {megabytes(size)} on the disk; training maps "
            "them and holds a batch at a time in memory"
        )
        show(("Packing", text))
        self.readable = np.ones(len(names), bool)
        with _writing_to(self.folder):
            free = shutil.disk_usage(self.file.parent).free
            if size > free:
                raise OSError(f"{megabytes(size)} are needed, {megabytes(free)} are free")
            np.save(self.file.with_name("names.npy"), np.array([os.fsencode(name) for name in names]))
            self.images = np.lib.format.open_memmap(self.file, "w+", np.uint8, shape)
            if hasattr(os, "posix_fallocate"):
                # A mapped page for which the disk has no room would kill the process; so all are reserved first.
                with open(self.file, "r+b") as file:
                    os.posix_fallocate(file.fileno(), 0, self.file.stat().st_size)


def megabytes(size: float) -> str:
    """Return a number of bytes as text: `345 kB`, `3.5 MB`, `184 MB`."""
    return f"{size / 1e6:,.{1 if size < 1e7 else 0}f} MB" if size >= 1e6 else f"{math.ceil(size / 1e3)} kB"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let only one process at a time look for a store in folder and write it; the others wait.

    Folders that are made for it go again if nothing was written into them.
    """
    file = folder.parent / f".{folder.name}.lock"
    missing = [place for place in (folder.parent, *folder.parent.parents) if not place.exists()]
    with _writing_to(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(file).acquire()
    with lock:
        try:
            yield
        finally:
            with suppress(OSError):
                if missing and list(folder.parent.iterdir()) == [file]:
                    file.unlink()  # still held: FileLock refuses a file that was removed while it waited
                    for place in missing:
                        place.rmdir()


def write_store(
    folder: Path,
    title: str,
    fingerprint: dict[str, Any],
    fill: Callable[[NewStore], Contents],
    root: Path | None = None,
) -> Manifest:
    """Write the store in folder, while it is locked; an older one there is replaced when the new one is complete.

    Messages call it by its title, the fingerprint identifies its source, which lies in root, and `fill` fills its rows
    and says what they are. Nothing is left behind by an error, such as the UsageError if no image of a split can be
    read, or if the disk is full or not writable.
    """
    temporary, older = (folder.with_name(f".{folder.name}.{suffix}") for suffix in ("new", "older"))
    try:
        with _writing_to(folder):
            for left in (temporary, older):  # by a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            temporary.mkdir(parents=True)
        new = NewStore(folder, temporary, title)
        contents = fill(new)
        with _writing_to(folder):
            manifest = _write_beside(temporary, new, contents, fingerprint, root)
            if folder.exists():
                os.rename(folder, older)  # a network disk does not remove files that a process has mapped
            os.rename(temporary, folder)
    finally:
        for left in (temporary, older):
            shutil.rmtree(left, ignore_errors=True)
    if new.skipped:
        show(("Skipped", f"{counted(len(new.skipped), 'image')}; {folder / 'manifest.json'} says why"))
    lines = contents.left_out[:SAID]
    if len(contents.left_out) > SAID:
        lines.append(f"{len(contents.left_out) - SAID:,} more, which {folder / 'manifest.json'} lists")
    for line in lines:
        show(("Not read", line))
    return manifest


def _write_beside(
    temporary: Path, new: NewStore, contents: Contents, fingerprint: dict[str, Any], root: Path | None
) -> Manifest:
    """Write what stands beside the images."""
    labels = np.asarray(contents.labels, np.int64)
    splits: dict[str, Any] = {}
    for name, given in contents.splits.items():
        rows = np.asarray(given, np.int64)
        splits[name] = rows = rows[new.readable[rows]]
        if not len(rows):
            raise UsageError(f"no image of the {name} split of {new.title} can be read; replace its images")
        assert set(np.unique(labels[rows])) <= set(range(len(contents.class_names)))
    sizes = {name: len(rows) for name, rows in splits.items()}
    skipped = new.skipped + contents.left_out
    moments = _mean_and_std(new.images, splits["train"])
    manifest = Manifest(
        3,
        fingerprint,
        contents.class_names,
        sizes,
        new.images.shape[2:],
        *moments,
        skipped,
        str(root.resolve()) if root else None,
        new.bits,
    )
    np.save(temporary / "labels.npy", labels)
    np.savez(temporary / "splits.npz", **splits)
    # By json, not msgspec: names of files may hold bytes that are not UTF-8, which json escapes.
    (temporary / "manifest.json").write_text(json.dumps(msgspec.to_builtins(manifest), indent=1))
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
