"""Decoded images on disk, ready to be memory-mapped.

A store is a folder, written by packing.py:

    manifest.json          source fingerprint, class names, number and size of the images, mean and std of the training
                           pixels, what was skipped
    <split>_images.bin     (N, 3, H, W) uint8, nothing but pixels
    <split>_labels.npy     (N,) int64
"""

import hashlib
import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

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
        return Manifest(**fields) if fields["format"] == FORMAT else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):  # ValueError: no text, no JSON
        return None


def open_split(folder: Path, split: str) -> Split:
    """Memory-map a split: pixels stay on disk until they are used.

    Raises:
        FileNotFoundError: If there is no store in folder.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise FileNotFoundError(f"there are no packed images in {folder}")
    shape = (manifest.num_images[split], 3, *manifest.image_size)
    # Read-only: memory that could be written to would have to fit into RAM, although nothing ever writes.
    images = np.memmap(folder / f"{split}_images.bin", np.uint8, mode="r", shape=shape)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        return Split(torch.from_numpy(images), torch.from_numpy(np.load(folder / f"{split}_labels.npy")))


def content_digest(folder: Path) -> str:
    """Sixteen hexadecimal digits that tell data of one content from another, on any machine.

    Over the class names, all labels and 256 images of each split at equal distances: quick for any size, and blind to
    a change in a few of the other images.

    Raises:
        FileNotFoundError: If there is no store in folder.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise FileNotFoundError(f"there are no packed images in {folder}")
    digest = hashlib.sha256(json.dumps([manifest.class_names, manifest.image_size]).encode())
    for name in sorted(manifest.num_images):
        split = open_split(folder, name)
        rows = np.linspace(0, len(split.labels) - 1, 256).astype(np.int64)
        digest.update(name.encode() + split.labels.numpy().tobytes())
        digest.update(split.images[torch.from_numpy(rows)].numpy().tobytes())
    return digest.hexdigest()[:16]
