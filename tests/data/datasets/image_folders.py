"""Folders of the user's own images, their splits, and what is refused of them."""

from pathlib import Path
from typing import Any

import opened_data
import pytest
import torch
from made_up_images import put_classes, put_image

from sbn_lightning.data.datasets.image_folder import ImageFolder
from sbn_lightning.errors import UsageError

COUNTS = {"cat": 20, "dog": 10}


def new(root: Path, **options: Any) -> ImageFolder:
    return ImageFolder(root=str(root), **{"image_size": 8, **options})


def ready(root: Path, **options: Any) -> ImageFolder:
    return opened_data.ready(new(root, **options))


def counts(data: ImageFolder) -> dict[str, list[int]]:
    """Images of each class in each split."""
    loaders = {"train": data.train_dataloader(), "test": data.test_dataloader()}
    if data.validation_stage == "val":
        loaders["val"] = data.val_dataloader()
    labels = {name: torch.cat([batch.labels for batch in loader]) for name, loader in loaders.items()}
    return {name: torch.bincount(part, minlength=data.num_classes).tolist() for name, part in labels.items()}


def content(data: ImageFolder, *splits: str) -> set[bytes]:
    loaders = [getattr(data, f"{name}_dataloader")() for name in splits]
    return {image.numpy().tobytes() for loader in loaders for batch in loader for image in batch.images}


Tree = dict[str, dict[str, int]]


def put_tree(root: Path, tree: Tree) -> None:
    """Write the classes of each folder, no two images alike."""
    for number, (folder, classes) in enumerate(tree.items()):
        put_classes(root / folder, classes, first_seed=100 * number)
        for name in classes:
            (root / folder / name).mkdir(exist_ok=True)


def put_csv(root: Path, header: str, lines: list[str], images: int = 20) -> None:
    """Write root/<number>.png and root/labels.csv."""
    for number in range(images):
        put_image(root / f"{number}.png", number)
    (root / "labels.csv").write_text("\n".join([header, *lines]) + "\n")


def refused(root: Path, match: str, **options: Any) -> None:
    """Expect the error, and no half-written store."""
    with pytest.raises(UsageError, match=match):
        new(root, **options).prepare_data()
    assert not [path for path in root.glob(".packed/*") if not path.name.endswith(".lock")]
