"""Writing a packed store: whole or not at all, by one process at a time.

A store is written chunk by chunk to a temporary folder beside its place, and renamed into it when it is complete.
"""

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from PIL import Image
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sbn_lightning.data.packing.store import Decoded, Manifest
from sbn_lightning.errors import UsageError


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
    folder: Path, fingerprint: dict[str, Any], class_names: list[str], splits: Mapping[str, Decoded]
) -> Manifest:
    """Write splits (train, test and perhaps val) as the store in folder; an older one there is replaced.

    Raises:
        UsageError: If a split has no images, images of another number or size than announced, or a label without a
            class name.
        UsageError: If the disk is full or not writable; nothing is left behind.
    """
    if len({split.image_size for split in splits.values()}) != 1:
        raise UsageError(f"the splits differ in their image size: {[split.image_size for split in splits.values()]}")
    image_size = list(splits["train"].image_size)
    with _writing_to(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        _check_space(folder.parent, sum(split.num_bytes for split in splits.values()))
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        histogram = np.zeros((3, 256), np.int64)
        num_images = {}
        with _progress_bar(sum(split.num_images for split in splits.values())) as advance:
            for name, split in splits.items():
                num_images[name] = _write_split(
                    temporary, folder, name, _checked(name, split, len(class_names), advance), histogram
                )
        mean, std = _mean_and_std(histogram)
        skipped = [line for split in splits.values() for line in split.skipped]
        manifest = Manifest(fingerprint, class_names, num_images, image_size, mean, std, skipped)
        with _writing_to(folder):
            (temporary / "manifest.json").write_text(json.dumps(asdict(manifest), indent=1))
            temporary.chmod(0o755)
            _replace(folder, temporary)
    finally:
        for split in splits.values():
            if isinstance(split.chunks, Generator):
                split.chunks.close()  # ends its processes, which an error's traceback would keep alive
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _write_split(
    temporary: Path, folder: Path, name: str, chunks: Iterator[tuple[np.ndarray, np.ndarray]], histogram: np.ndarray
) -> int:
    """Write one split, add the training pixels to the histogram (3, 256), and return the number of images."""
    all_labels = []
    for images, labels in chunks:
        with _writing_to(folder), open(temporary / f"{name}_images.bin", "ab") as file:
            file.write(np.ascontiguousarray(images).data)
        all_labels.append(labels)
        if name == "train":
            for channel in range(3):  # by Pillow, twice as fast as numpy's bincount
                plane = np.ascontiguousarray(images[:, channel]).reshape(len(images), -1)
                histogram[channel] += Image.fromarray(plane).histogram()
    labels = np.concatenate(all_labels).astype(np.int64)
    with _writing_to(folder):
        np.save(temporary / f"{name}_labels.npy", labels)
    return len(labels)


def _checked(
    name: str, split: Decoded, num_classes: int, advance: Callable[[int], None]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The chunks of a split, each checked before it is handed on, and their number at the end."""
    count = 0
    for images, labels in split.chunks:
        if images.dtype != np.uint8 or images.shape != (len(labels), 3, *split.image_size):
            raise UsageError(
                f"the {name} split has {images.dtype} images {images.shape} beside {len(labels)} labels; "
                f"they should be uint8 (n, 3, {split.image_size[0]}, {split.image_size[1]})"
            )
        if len(labels) and (labels.min() < 0 or labels.max() >= num_classes):
            raise UsageError(
                f"the {name} split's labels reach {labels.min()} to {labels.max()}, "
                f"but {num_classes} classes have a name"
            )
        count += len(labels)
        if count > split.num_images:
            break  # too many: said below
        yield images, labels
        advance(len(labels))
    if not split.num_images - len(split.skipped) <= count <= split.num_images:
        raise UsageError(
            f"the {name} split should have {split.num_images} images, of which {len(split.skipped)} are skipped, "
            f"but it has {count} or more"
        )
    if not count:
        raise UsageError(f"the {name} split holds no images")


def _mean_and_std(histogram: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, exactly, from its pixel histogram (3, 256)."""
    share = histogram / histogram.sum(1, keepdims=True)
    levels = np.arange(256) / 255
    mean = share @ levels
    std = np.sqrt((share * (levels - mean[:, None]) ** 2).sum(1))
    return mean.tolist(), std.tolist()


def _replace(folder: Path, temporary: Path) -> None:
    """Rename temporary to folder; what was there is removed afterwards."""
    older = Path(f"{temporary}-older")
    if folder.exists():
        os.rename(folder, older)
    try:
        os.rename(temporary, folder)
    finally:
        shutil.rmtree(older, ignore_errors=True)


def _check_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UsageError(f"{needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free")


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
    # Drawn by hand, since a process with a thread that prints is not one to fork.
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
