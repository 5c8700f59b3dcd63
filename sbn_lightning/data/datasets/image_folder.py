"""The user's own images: a folder for each class, or a CSV file."""

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, Literal

import numpy as np

from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.hash_split import assign_splits
from sbn_lightning.data.label_file import list_label_file
from sbn_lightning.data.listing import ImageFile, digest, list_class_folders
from sbn_lightning.data.packing.sources import Fit, FolderSource, decode_files
from sbn_lightning.data.packing.store import Decoded, read_manifest
from sbn_lightning.errors import UsageError


class ImageFolder(ImageDataModule):
    """Images of any kind that Pillow reads, square and all of one size once they are packed.

    They lie in one of three ways:

    - `root/train/<class>/*` with `root/test/<class>/*`, `root/val/<class>/*` or both. If there is only one of these, it
      is the test set; of both, `val` holds the validation images.
    - `root/<class>/*`. A part of each class, chosen by a hash of the file names, is the test set.
    - Anywhere under root, listed in a CSV file with the columns `path` (from root) and `label`, and perhaps `split`
      (train, val or test) and `group`: images of one group (a patient, a video) are never divided between splits.

    Which files are images is told by their suffixes; hidden files are left out.

    Args:
        image_size: Height and width to which images are brought, pixels.
        fit: How images of another shape get there: `crop` cuts off what lies outside the middle square, `squash`
            changes the aspect ratio, `letterbox` adds black borders.
        test_fraction: Share of each class's images for the test set where none is given, in (0, 1).
        csv: The CSV file, relative to root; None if the folders are the classes.
        on_bad_image: What a file that cannot be decoded does: `error` stops, `skip` leaves it out and says so.
        Others: As ImageDataModule's.

    Raises:
        UsageError: If an argument is out of its range.
    """

    def __init__(
        self,
        root: str = "data",
        image_size: int = 64,
        fit: Fit = "crop",
        test_fraction: float = 0.1,
        csv: str | None = None,
        on_bad_image: Literal["error", "skip"] = "error",
        batch_size: int = 128,
        validation_fraction: float = 0.0,
        test_each_epoch: bool = True,
        crop_padding: int = 4,
        horizontal_flip: bool = True,
        packed_dir: str | None = None,
        on_device: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root,
            batch_size,
            validation_fraction,
            test_each_epoch,
            crop_padding,
            horizontal_flip,
            download=False,
            packed_dir=packed_dir,
            on_device=on_device,
            seed=seed,
        )
        if image_size < 1:
            raise UsageError(f"image_size is {image_size}; it is a number of pixels and must be 1 or more")
        if not 0 < test_fraction < 1:
            raise UsageError(f"test_fraction is {test_fraction}; it is a share of the images in (0, 1)")
        self.image_size = image_size
        self.fit = fit
        self.test_fraction = test_fraction
        self.csv = self.root / csv if csv is not None else None
        self.on_bad_image = on_bad_image
        self.hold_out = 0.0
        if csv is not None:  # held out when packing, while it is known which images are of one group
            self.hold_out, self.validation_fraction = self.validation_fraction, 0.0

    @property
    def store_name(self) -> str:
        file = self.csv and os.path.relpath(self.csv, self.root)
        settings = [self.test_fraction, file, self.on_bad_image, self.hold_out]
        code = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:8]
        return f"image_folder_{self.root.resolve().name}_{self.image_size}_{self.fit}_{code}"

    @property
    def num_classes(self) -> int:
        return len(self.manifest().class_names)

    @property
    def has_validation_split(self) -> bool:
        return "val" in self.manifest().num_images

    def fingerprint(self) -> dict[str, Any] | None:
        files, _ = self._list()
        if files:
            labels = hashlib.sha256(self.csv.read_bytes()).hexdigest() if self.csv is not None else None
            return {"files": digest(self.root, (file.path for file in files)), "csv": labels}
        if read_manifest(self.store) is not None:
            return None
        if self.csv is not None:
            raise UsageError(f"{self.csv} is not there, or lists no images; name another with --data.csv FILE")
        raise UsageError(
            f"{self.root}/ is not there, or holds no folders of images; name the folder whose folders are the classes, "
            "or that holds train/<class> and test/<class>, with --data.root DIR"
        )

    def decode(self) -> tuple[list[str], dict[str, Decoded]]:
        files, ignored = self._list()
        files = assign_splits(files, self.test_fraction, self.hold_out)
        class_names = sorted({file.label for file in files})
        self._describe(Counter(file.label for file in files if file.split == "train"))

        label_of = {name: label for label, name in enumerate(class_names)}
        source, size = FolderSource(self.root), (self.image_size, self.image_size)
        splits = {}
        for split in ("train", "test", "val"):
            part = [file for file in files if file.split == split]
            if part:
                paths, labels = [file.path for file in part], [label_of[file.label] for file in part]
                splits[split] = decode_files(source, paths, labels, size, self.fit, self.on_bad_image)
        splits["train"].skipped.extend(ignored)
        splits["train"] = replace(splits["train"], chunks=with_every_class(splits["train"].chunks, class_names))
        return class_names, splits

    def _list(self) -> tuple[list[ImageFile], list[str]]:
        if self.csv is None:
            return list_class_folders(self.root)
        return (list_label_file(self.root, self.csv) if self.csv.is_file() else []), []

    def _describe(self, counts: Counter[str]) -> None:
        (largest, most), *_, (smallest, fewest) = counts.most_common()
        print(f"{len(counts)} classes with {fewest} ({smallest!r}) to {most} ({largest!r}) training images", flush=True)


def with_every_class(
    chunks: Iterable[tuple[np.ndarray, np.ndarray]], class_names: list[str]
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The same chunks; at their end a ValueError if there was a class of which no image could be read."""
    count = np.zeros(len(class_names), np.int64)
    for images, labels in chunks:
        count += np.bincount(labels, minlength=len(class_names))
        yield images, labels
    missing = [name for name, number in zip(class_names, count, strict=True) if not number]
    if missing:
        raise UsageError(
            f"no training image of {', '.join(map(repr, missing))} can be read: replace them, or remove the class"
        )
