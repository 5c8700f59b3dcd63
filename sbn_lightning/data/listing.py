"""Which file in a folder is which class's image, and in which split."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from sbn_lightning.errors import UsageError

SPLITS = ("train", "val", "test")


class ImageFile(NamedTuple):
    """An image file with its class.

    Attributes:
        path: From the dataset's root, with slashes.
        label: The class's name.
        split: `train`, `val` or `test`; empty where the split is still to be made.
        group: Images of one group belong into one split; an image that stands alone is a group of its own.
    """

    path: str
    label: str
    split: str
    group: str


def list_class_folders(root: Path) -> tuple[list[ImageFile], list[str]]:
    """The images of `root/{train,val,test}/<class>`, or where there is no such split, of `root/<class>`.

    Folders inside a class's folder belong to the class. Hidden files and folders are left out, and so is
    `root/packed` if it holds no images, since packed stores lie there.

    Returns:
        The images, ordered by path, and what was ignored: a line for the files that are no images, one for each folder
        beside the splits.

    Raises:
        UsageError: If a class has no images, or test folders have no training folder beside them.
    """
    splits = [split for split in SPLITS if any(_folders(root / split))]
    if splits and splits[0] != "train":
        raise UsageError(
            f"{root} holds {' and '.join(f'{split}/' for split in splits)} but no train/ with class folders: "
            "add it, or put the class folders into root itself to have them split"
        )
    files: list[ImageFile] = []
    others: list[str] = []
    for split in splits or [""]:
        for folder in _folders(root / split):
            images: list[str] = []
            for path in _files(root, folder):
                (images if has_image_suffix(path) else others).append(path)
            if not images and split in ("", "train") and (split, folder.name) != ("", "packed"):
                raise UsageError(f"{folder} holds no images: add some, or remove the empty class")
            files += [ImageFile(path, folder.name, split, path) for path in images]
    ignored = []
    if splits:
        beside = {folder.name for folder in _folders(root)} - {*splits, "packed"}
        ignored = [f"{name}/: beside train/, but neither test/ nor val/: not read" for name in sorted(beside)]
    if others:
        ignored.append(f"files that are no images by their names: {len(others)}, such as {min(others)}")
    return sorted(files), ignored


def has_image_suffix(name: str) -> bool:
    """Whether a file is an image that Pillow opens, judged by its name."""
    return os.path.splitext(name)[1].lower() in _image_suffixes()


def digest(root: Path, paths: Iterable[str]) -> str:
    """A hash of the files' paths, sizes and times: it changes when a file does."""
    hasher = hashlib.sha256()
    for path in sorted(paths):
        stat = os.stat(f"{root}/{path}")
        hasher.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return hasher.hexdigest()


def refuse_names_that_differ_in_case(names: Iterable[str]) -> None:
    """Refuse classes that would be one folder on other machines.

    Raises:
        UsageError: If two names differ in nothing but case.
    """
    spellings: defaultdict[str, set[str]] = defaultdict(set)
    for name in names:
        spellings[name.casefold()].add(name)
    for same in spellings.values():
        if len(same) > 1:
            first, second, *_ = sorted(same)
            raise UsageError(f"{first!r} and {second!r} differ only in case: rename one, or put their images together")


@cache
def _image_suffixes() -> frozenset[str]:
    registered = Image.registered_extensions()  # those of formats that are only written, too
    return frozenset(suffix for suffix, kind in registered.items() if kind in Image.OPEN)


def _folders(folder: Path) -> Iterator[Path]:
    """The folders in a folder, by name; none if it is not there."""
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if path.is_dir() and not path.name.startswith("."))


def _files(root: Path, folder: Path) -> Iterator[str]:
    """The files in a folder and in the folders in it, from root."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        start = Path(parent).relative_to(root).as_posix()
        yield from (f"{start}/{name}" for name in names if not name.startswith("."))
