"""Decoded images on disk, ready to be memory-mapped.

A store is a folder, written by packing.py:

    manifest.json          source fingerprint, class names, number and size of the images, mean and std of the training
                           pixels, what was skipped
    <split>_images.bin     (N, 3, H, W) uint8, nothing but pixels
    <split>_labels.npy     (N,) int64
"""

import hashlib
import json
import math
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sbn_lightning.errors import UsageError

FORMAT = 2


@dataclass
class Decoded:
    """One split on its way into a store.

    Attributes:
        num_images: So many, less those that turn out to be skipped.
        image_size: H and W, pixels.
        chunks: Pieces of it: images (n, 3, H, W) uint8 and labels (n,).
        skipped: A line `file: problem` for each image that is left out; complete when all chunks have been read.
    """

    num_images: int
    image_size: tuple[int, int]
    chunks: Iterable[tuple[np.ndarray, np.ndarray]]
    skipped: list[str] = field(default_factory=list)

    @property
    def num_bytes(self) -> int:
        """What the pixels take on the disk."""
        return self.num_images * 3 * self.image_size[0] * self.image_size[1]


@dataclass(frozen=True)
class Manifest:
    """What a store holds.

    Attributes:
        fingerprint: Identifies the source; another fingerprint means other images.
        class_names: Name of each label.
        num_images: Images in each split.
        image_size: H and W, pixels.
        mean: Of each channel over all training pixels, in units of full scale (0 to 1).
        std: Likewise.
        skipped: A line `file: problem` for each image that was left out.
        format: Version of this layout.
    """

    fingerprint: dict[str, Any]
    class_names: list[str]
    num_images: dict[str, int]
    image_size: list[int]
    mean: list[float]
    std: list[float]
    skipped: list[str]
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
        manifest = Manifest(**fields) if fields["format"] == FORMAT else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, RecursionError):
        return None  # ValueError: no text, no JSON
    return manifest if manifest is not None and _is_sound(manifest) else None


def _is_sound(manifest: Manifest) -> bool:
    """Whether every field holds what it should."""
    counts, moments = manifest.num_images, (manifest.mean, manifest.std)
    return (
        isinstance(manifest.fingerprint, dict)
        and _is_list_of(str, manifest.class_names)
        and _is_list_of(str, manifest.skipped)
        and isinstance(counts, dict)
        and all(
            _is_list_of(int, sizes) and min(sizes, default=1) > 0 for sizes in ([*counts.values()], manifest.image_size)
        )
        and len(manifest.image_size) == 2
        and all(_is_list_of(float, moment) and len(moment) == 3 and np.isfinite(moment).all() for moment in moments)
    )


def _is_list_of(kind: type, values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def open_split(folder: Path, split: str) -> Split:
    """Memory-map a split: pixels stay on disk until they are used.

    Raises:
        UsageError: If there is no store in folder, or a file of it is missing.
        UsageError: If a file of it is not what the manifest says.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(f"there are no packed images in {folder}")
    shape = (manifest.num_images[split], 3, *manifest.image_size)
    file = folder / f"{split}_images.bin"
    labels = _read_labels(folder / f"{split}_labels.npy")
    # The manifest says how the bytes are to be read: what does not agree with it would be read as other images.
    if (
        file.stat().st_size != math.prod(shape)
        or labels is None
        or labels.shape != shape[:1]
        or (labels.min() < 0 or labels.max() >= len(manifest.class_names))
    ):
        raise UsageError(f"the packed images in {folder} are damaged; remove this folder to have them packed again")
    # Read-only: memory that could be written to would have to fit into RAM, although nothing ever writes.
    images = np.memmap(file, np.uint8, mode="r", shape=shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return Split(torch.from_numpy(images), torch.from_numpy(labels))


def _read_labels(file: Path) -> np.ndarray | None:
    """int64, or None if the file holds something else; never a pickle."""
    try:
        labels = np.load(file, allow_pickle=False)
    except (ValueError, EOFError):
        return None
    return labels if isinstance(labels, np.ndarray) and labels.dtype == np.int64 else None


def content_digest(folder: Path) -> str:
    """Sixteen hexadecimal digits that tell data of one content from another, on any machine.

    Over the class names, all labels and 256 images of each split at equal distances: quick for any size, and blind to
    a change in a few of the other images.

    Raises:
        UsageError: If there is no store in folder.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(f"there are no packed images in {folder}")
    digest = hashlib.sha256(json.dumps([manifest.class_names, manifest.image_size]).encode())
    for name in sorted(manifest.num_images):
        split = open_split(folder, name)
        rows = np.linspace(0, len(split.labels) - 1, 256).astype(np.int64)
        digest.update(name.encode() + split.labels.numpy().tobytes())
        digest.update(split.images[torch.from_numpy(rows)].numpy().tobytes())
    return digest.hexdigest()[:16]
