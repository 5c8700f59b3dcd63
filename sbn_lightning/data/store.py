"""Decoded images on disk, ready to be memory-mapped. A store is a folder, written by pack.py:

manifest.json   what the store holds: see Manifest
images.npy      (N, 3, H, W) uint8
labels.npy      (N,) int64
names.npy       (N,) the file name of each image, as bytes (os.fsencode)
splits.npz      train, test and perhaps val: the rows of each split, int64
"""

import hashlib
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
import torch
from torch import Tensor

from sbn_lightning.errors import UsageError
from sbn_lightning.run.files import read_regular

Count = Annotated[int, msgspec.Meta(ge=1)]
Moment = Annotated[float, msgspec.Meta(ge=0, le=1)]


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a store holds.

    Attributes:
        version: Of this layout.
        fingerprint: Identifies the source; another fingerprint means other images.
        class_names: Name of each label.
        num_images: Images in each split.
        image_size: H and W, pixels.
        mean: Of each channel over all training pixels, in units of full scale (0 to 1).
        std: Likewise.
        skipped: A line `file: problem` for each image that was left out.
        root: The whole path of the source's folder; None in older stores.
        bits: How many bits the 16-bit gray images had; None if there were none, and in older stores.
    """

    version: Literal[3]
    fingerprint: dict[str, Any]
    class_names: list[str]
    num_images: dict[str, Count]
    image_size: tuple[Count, Count]
    mean: tuple[Moment, Moment, Moment]
    std: tuple[Moment, Moment, Moment]
    skipped: list[str]
    root: str | None = None
    bits: int | None = None


@dataclass(frozen=True)
class Store:
    """An opened store: images (N, 3, H, W) uint8, memory-mapped, labels (N,) and the rows of each split, both int64. A
    row that no split names is not used."""

    manifest: Manifest
    images: Tensor
    labels: Tensor
    splits: dict[str, Tensor]

    def digest(self) -> str:
        """Sixteen hexadecimal digits that tell data of one content from another, on any machine.

        They depend on the class names, all labels and 256 images of each split: quick to compute for any size, and
        blind to a change in a few of the other images.
        """
        digest = hashlib.sha256(json.dumps([self.manifest.class_names, self.manifest.image_size]).encode())
        for name, rows in sorted(self.splits.items()):
            digest.update(name.encode() + self.labels[rows].numpy().tobytes())
            chosen = rows[torch.from_numpy(np.linspace(0, len(rows) - 1, 256).astype(np.int64))]
            digest.update(self.images[chosen].numpy().tobytes())
        return digest.hexdigest()[:16]


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of the store in folder; None if there is no store of this version, or it is damaged."""
    file = folder / "manifest.json"
    try:
        return msgspec.convert(json.loads(read_regular(file)), Manifest)
    except (FileNotFoundError, NotADirectoryError, ValueError, RecursionError):  # ValueError: not UTF-8, JSON or these
        return None
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror or error})") from error


def open_store(folder: Path) -> Store:
    """Memory-map a store: pixels stay on disk until they are used. A UsageError says if there is no store in folder, or
    a file of it is missing or not what the manifest says."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise UsageError(f"there are no packed images in {folder}; call prepare_data first")
    try:
        # Read-only: memory that could be written to would have to fit into RAM, although nothing ever writes.
        images, labels = np.load(folder / "images.npy", mmap_mode="r"), np.load(folder / "labels.npy")
        with np.load(folder / "splits.npz") as archive:
            splits = dict(archive)
        if not _fit(manifest, images, labels, splits):
            raise ValueError("other arrays than the manifest says")
    except Exception as error:  # numpy's readers raise whatever damaged bytes lead them to
        raise UsageError(
            f"the packed images in {folder} are damaged; remove this folder to have them packed again"
        ) from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The given NumPy array is not writable")
        tensors = {name: torch.from_numpy(rows) for name, rows in splits.items()}
        return Store(manifest, torch.from_numpy(images), torch.from_numpy(labels), tensors)


def read_names(folder: Path, rows: Tensor) -> list[str]:
    """Return the files that these rows of a store were read from. A UsageError says if the list of them is damaged."""
    file = folder / "names.npy"
    try:
        return [os.fsdecode(name) for name in np.load(file)[rows.numpy()]]
    except Exception as error:  # numpy's readers raise whatever damaged bytes lead them to
        raise UsageError(f"{file} is damaged; remove {folder} to have its images packed again") from error


def _fit(manifest: Manifest, images: np.ndarray, labels: np.ndarray, splits: dict[str, np.ndarray]) -> bool:
    """Whether the arrays are what the manifest says: their types and shapes, the rows of each split, its labels."""
    num_classes = len(manifest.class_names)
    return (
        (images.dtype, labels.dtype) == (np.uint8, np.int64)
        and images.shape == (len(labels), 3, *manifest.image_size)
        and manifest.num_images == {name: len(rows) for name, rows in splits.items()}
        and all(rows.dtype == np.int64 and rows.ndim == 1 for rows in splits.values())
        and all(rows.min() >= 0 and rows.max() < len(labels) for rows in splits.values())
        and all(labels[rows].min() >= 0 and labels[rows].max() < num_classes for rows in splits.values())
    )
