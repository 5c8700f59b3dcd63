"""Which images are trained on, which are tested, and which are held out: the same on every machine."""

import hashlib
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sbn_lightning.data.listing import ImageFile, refuse_names_that_differ_in_case
from sbn_lightning.errors import UsageError


def stratified_split(labels: Tensor, fraction: float, class_names: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Split (N,) labels so that each class gives the same fraction, at random but always in the same way: the sorted
    indices of the rest and of the fraction. A UsageError names a class that is too small to be in both parts."""
    from sklearn.model_selection import train_test_split  # a second of import time that only this needs

    counts = torch.bincount(labels, minlength=len(class_names))
    try:
        parts = train_test_split(range(len(labels)), test_size=fraction, stratify=labels.numpy(), random_state=0)
    except ValueError:  # which says less than what follows
        too_small = int(counts.argmin())
    else:
        rest, part = (torch.tensor(sorted(indices)) for indices in parts)
        held_out = torch.bincount(labels[part], minlength=len(class_names))
        if bool(((held_out > 0) & (held_out < counts)).all()):
            return rest, part
        too_small = int(torch.minimum(held_out, counts - held_out).argmin())
    count = int(counts[too_small])
    share = f"a share from {1 / count:.3g} to {1 - 1 / count:.3g} does; " if count > 1 else ""
    raise UsageError(
        f"validation_fraction {fraction} does not divide the {count} training images of class "
        f"{class_names[too_small]!r} into some that are trained on and some that are held out; {share}"
        "add images to the class, remove it, or set --data.validation_fraction 0"
    )


def hash_split(labels: Sequence[str], groups: Sequence[str], fraction: float) -> np.ndarray:
    """Choose about the same fraction of each class's images, by the hash of their groups' names.

    A class gives round(fraction * its images), at least one, in whole groups: those with the smallest hashes. The last
    group may reach beyond that number. Other classes' files do not matter, unless they share a group.

    Args:
        labels: Class of each of N images.
        groups: Group of each image, never divided; for images that stand alone their own names.
        fraction: In (0, 1).

    Returns:
        (N,) bool, whether an image is chosen.
    """
    sizes: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for label, group in zip(labels, groups, strict=True):
        sizes[label][group] += 1
    chosen: set[str] = set()
    for label in sorted(sizes):
        wanted = max(1, int(fraction * sizes[label].total() + 0.5))
        count = sum(size for group, size in sizes[label].items() if group in chosen)
        for group in sorted(sizes[label].keys() - chosen, key=_hash):
            if count >= wanted:
                break
            chosen.add(group)
            count += sizes[label][group]
    return np.array([group in chosen for group in groups], bool)


def _hash(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)  # some systems spell é as one character, others as two
    return hashlib.sha256(composed.encode(errors="surrogateescape")).hexdigest()


def assign_splits(files: list[ImageFile], test_fraction: float, validation_fraction: float) -> list[ImageFile]:
    """Every file with its split: the given one, or one drawn by hash where none is given. Validation images without
    test images are the test set.

    Raises:
        UsageError: If there are not two classes, two classes' names differ only in case, a split is missing or holds
            classes that are not trained on, or a class has too few images or groups to be divided.
    """
    refuse_names_that_differ_in_case({file.label for file in files})
    given = {file.split for file in files}
    if given == {""}:
        files = _draw([file._replace(split="train") for file in files], "test", test_fraction)
    elif "train" not in given or len(given) == 1:
        raise UsageError(
            f"all images are in {' and '.join(sorted(given))}, but there must be training and test images: add the "
            "others, or name the folder of the classes with --data.root to have them split"
        )
    elif "test" not in given:
        files = [file._replace(split="test") if file.split == "val" else file for file in files]
    if validation_fraction and any(file.split == "val" for file in files):
        raise UsageError(
            f"validation_fraction is {validation_fraction}, but there are validation images already; leave it at 0"
        )
    if validation_fraction:
        files = _draw(files, "val", validation_fraction)

    classes = {split: {file.label for file in files if file.split == split} for split in ("train", "test", "val")}
    if len(classes["train"]) < 2:
        raise UsageError(
            f"there is one class only, {min(classes['train'])!r}; classification needs two or more; "
            "a trained model takes images without classes by sbn predict --config RUN --images DIR"
        )
    for split in ("test", "val"):
        if unknown := sorted(classes[split] - classes["train"]):
            raise UsageError(
                f"the {split} images have the classes {', '.join(map(repr, unknown))}, of which there are no training "
                "images: add some, or remove these classes"
            )
    return files


def _draw(files: list[ImageFile], split: str, fraction: float) -> list[ImageFile]:
    """The files, with that fraction of the training images moved to another split."""
    train = [file for file in files if file.split == "train"]
    chosen = hash_split([file.label for file in train], [file.group for file in train], fraction)
    moved = {file.path for file, is_chosen in zip(train, chosen, strict=True) if is_chosen}
    left = {file.label for file in train if file.path not in moved}
    for label in sorted({file.label for file in train} - left):
        groups = {file.group for file in train if file.label == label}
        raise UsageError(
            f"class {label!r} has too few images or groups of images to be divided into train and {split}: "
            f"{len(groups)}; add some, or remove the class"
        )
    return [file._replace(split=split) if file.path in moved else file for file in files]
