"""Each dataset with a small source of its own. A line in DATASETS puts a new one to
the tests of test_datasets.py and test_dataset_packing.py."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import opened_data
import pytest
from made_up_cifar100 import put_cifar100
from made_up_images import put_classes
from made_up_tiny_imagenet import tiny_imagenet_files, write_folder, write_zip

from sbn_lightning.data import CIFAR100, Digits, FaceScrub, ImageDataModule, ImageFolder, TinyImageNet
from sbn_lightning.data.datasets import facescrub
from sbn_lightning.data.decode import decode_image

Options = dict[str, Any]
PutFiles = Callable[[Path, pytest.MonkeyPatch], Options]


def no_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    return {}


def cifar100(labels: str) -> PutFiles:
    def put_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
        put_cifar100(root, monkeypatch)
        return {"labels": labels}

    return put_files


def faces(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    monkeypatch.setattr(facescrub, "NUM_CLASSES", 4)
    monkeypatch.setattr(facescrub, "IMAGE_SIZE", (8, 8))
    put_classes(root, {f"Name_{label}": 25 for label in range(4)})
    return {"min_images_per_class": 20}


def class_folders(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    put_classes(root, {"cat": 25, "dog": 50, "emu": 25})
    return {"image_size": 8, "test_fraction": 0.2}


def csv_file(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
    options = class_folders(root / "images", monkeypatch)
    paths = sorted(path.relative_to(root) for path in root.glob("*/*/*"))
    (root / "labels.csv").write_text("\n".join(["path,label", *(f"{path},{path.parent.name}" for path in paths)]))
    return options | {"csv": "labels.csv"}


def small_tiny_imagenet(write: Callable[[Path, dict[str, bytes]], None], path: str) -> PutFiles:
    def put_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> Options:
        monkeypatch.setattr(TinyImageNet, "num_classes", 10)
        write(root / path, tiny_imagenet_files(10, 10, 3))
        return {}

    return put_files


# The class, and what puts a small source into root and gives the arguments that are this dataset's own.
DATASETS: dict[str, tuple[type[ImageDataModule], PutFiles]] = {
    "digits": (Digits, no_files),
    "cifar100_fine": (CIFAR100, cifar100("fine")),
    "cifar100_coarse": (CIFAR100, cifar100("coarse")),
    "tiny_imagenet_zip": (TinyImageNet, small_tiny_imagenet(write_zip, "tiny-imagenet-200.zip")),
    "tiny_imagenet_folder": (TinyImageNet, small_tiny_imagenet(write_folder, "")),
    "facescrub": (FaceScrub, faces),
    "image_folder": (ImageFolder, class_folders),
    "image_folder_csv": (ImageFolder, csv_file),
}


@dataclass
class Dataset:
    """A dataset whose source lies in root, packed once for all tests."""

    data_class: type[ImageDataModule]
    root: Path
    options: Options

    def new(self, **options: Any) -> ImageDataModule:
        return self.data_class(**{"root": str(self.root), **self.options, **options})

    def ready(self, **options: Any) -> ImageDataModule:
        return opened_data.ready(self.new(**options))

    @cached_property
    def source(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Images and labels of each split as they come from the source, without packing."""
        new = InMemory()
        contents = self.new().decode(new)
        labels = np.asarray(contents.labels)
        return {name: (new.images[list(rows)], labels[list(rows)]) for name, rows in contents.splits.items()}


class InMemory:
    """Takes the place of a new store."""

    def put(self, names: list[str], images: np.ndarray) -> None:
        self.images = images

    def decode(self, source: Any, names: list[str], size: tuple[int, int], fit: Any, on_bad_image: str) -> Any:
        self.images = np.stack([decode_image(source.read(name), size, fit) for name in names])
        return np.ones(len(names), bool)
