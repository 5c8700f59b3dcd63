"""Decoded images on disk, ready to be memory-mapped.

A store is a folder:

    manifest.json          source fingerprint, class names, number of images, mean and std of the training pixels
    <split>_images.npy     (N, 3, H, W) uint8
    <split>_labels.npy     (N,) int64

It is written to a temporary folder beside it and renamed into place, so that a store is whole or not there.
"""

import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

FORMAT = 1


@dataclass(frozen=True)
class Decoded:
    """One split on its way into a store.

    Attributes:
        labels: (N,) class of each image.
        image_size: H and W, pixels.
        chunks: Pieces (n, 3, H, W) uint8 of the images, in the labels' order.
    """

    labels: np.ndarray
    image_size: tuple[int, int]
    chunks: Iterable[np.ndarray]


@dataclass(frozen=True)
class Manifest:
    """What a store holds.

    Attributes:
        fingerprint: Identifies the source; another fingerprint means other images.
        class_names: Name of each label.
        num_images: Images in each split.
        mean: Of each channel over all training pixels, in units of full scale (0 to 1).
        std: Likewise.
        format: Version of this layout.
    """

    fingerprint: dict[str, Any]
    class_names: list[str]
    num_images: dict[str, int]
    mean: list[float]
    std: list[float]
    format: int = FORMAT


@dataclass(frozen=True)
class Split:
    """One split of a store: images (N, 3, H, W) uint8, memory-mapped, and labels (N,) int64."""

    images: Tensor
    labels: Tensor


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of the store in folder, or None if there is no store that this version reads."""
    try:
        fields = json.loads((folder / "manifest.json").read_text())
        return Manifest(**fields) if fields["format"] == FORMAT else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):  # ValueError: no text, no JSON
        return None


def open_split(folder: Path, split: str) -> Split:
    """Memory-map a split: pixels stay on disk until they are used."""
    # Read-only: memory that could be written to would have to fit into RAM, although nothing ever writes.
    images = np.load(folder / f"{split}_images.npy", mmap_mode="r")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return Split(torch.from_numpy(images), torch.from_numpy(np.load(folder / f"{split}_labels.npy")))


def write_store(
    folder: Path, fingerprint: dict[str, Any], class_names: list[str], splits: Mapping[str, Decoded]
) -> Manifest:
    """Write splits, `train` among them, as the store in folder; one of another source there is replaced.

    Raises:
        ValueError: If a split has no images, a label without a class name, or fewer or more images than labels.
        OSError: If the disk is full or not writable; nothing is left behind.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        histograms = {name: _write_split(temporary, name, split, len(class_names)) for name, split in splits.items()}
        mean, std = _mean_and_std(histograms["train"])
        num_images = {name: len(split.labels) for name, split in splits.items()}
        manifest = Manifest(fingerprint, class_names, num_images, mean, std)
        (temporary / "manifest.json").write_text(json.dumps(asdict(manifest), indent=1))
        temporary.chmod(0o755)
        _replace(folder, temporary, fingerprint)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return manifest


def _write_split(folder: Path, name: str, split: Decoded, num_classes: int) -> np.ndarray:
    """Write one split and return its pixel histogram (3, 256)."""
    labels = np.asarray(split.labels, np.int64)
    if not len(labels):
        raise ValueError(f"the {name} split holds no images")
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"the {name} split's labels reach {labels.min()} to {labels.max()}, but {num_classes} classes have a name"
        )
    np.save(folder / f"{name}_labels.npy", labels)
    shape = (len(labels), 3, *split.image_size)
    images = np.lib.format.open_memmap(folder / f"{name}_images.npy", mode="w+", dtype=np.uint8, shape=shape)
    histogram = np.zeros((3, 256), np.int64)
    start = stop = 0
    for chunk in split.chunks:
        start, stop = stop, stop + len(chunk)
        if stop > len(labels):
            continue  # too many: counted for the error below
        images[start:stop] = chunk
        for channel in range(3):
            histogram[channel] += np.bincount(chunk[:, channel].ravel(), minlength=256)
    if stop != len(labels):
        raise ValueError(f"the {name} split has {len(labels)} labels but {stop} images")
    images.flush()
    return histogram


def _mean_and_std(histogram: np.ndarray) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel, exactly, from its pixel histogram (3, 256)."""
    share = histogram / histogram.sum(1, keepdims=True)
    levels = np.arange(256) / 255
    mean = share @ levels
    std = np.sqrt((share * (levels - mean[:, None]) ** 2).sum(1))
    return mean.tolist(), std.tolist()


def _replace(folder: Path, temporary: Path, fingerprint: dict[str, Any]) -> None:
    """Rename temporary to folder; what was there is removed afterwards.

    If another process has put a store of the same source there in the meantime, that one stays.
    """

    def packed_by_another_process() -> bool:
        manifest = read_manifest(folder)
        return manifest is not None and manifest.fingerprint == fingerprint

    with tempfile.TemporaryDirectory(prefix=f".{folder.name}-old-", dir=folder.parent) as old:
        if not packed_by_another_process():
            with suppress(FileNotFoundError):  # there is none, or another process has just moved it
                os.rename(folder, Path(old) / folder.name)
        try:
            os.rename(temporary, folder)
        except OSError:
            if not packed_by_another_process():
                raise
