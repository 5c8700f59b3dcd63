"""Which file in a folder is which class's image, and in which split; and what is not read there."""

import hashlib
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from sbn_lightning.data.decode import formats
from sbn_lightning.data.folders import files_below
from sbn_lightning.errors import UsageError, counted, printable

SPLITS = ("train", "val", "test")
SPELLINGS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test",
}  # fmt: skip


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


def class_name(name: str) -> str:
    """The name of the class that a folder or a label names, as it is compared and shown everywhere: composed, since
    some systems write é as one character and others as two; and printable."""
    return printable(unicodedata.normalize("NFC", name))


def split_of(name: str) -> str | None:
    """The split that a folder or a column's value names, in any case; None if it names none."""
    return SPELLINGS.get(name.casefold())


def list_class_folders(root: Path) -> tuple[list[ImageFile], list[str]]:
    """The images of `root/{train,val,test}/<class>`, or where there is no such split, of `root/<class>`.

    Folders inside a class's folder belong to the class, and links are followed. Hidden files and folders are left out,
    and so is `root/packed` if it holds no images, since packed stores of earlier versions lie there.

    Returns the images, ordered by path, and a line for each kind of thing that is not read. A UsageError says if a
    class has no images, or test folders have no training folder beside them.
    """
    splits = _split_folders(root)
    files: list[ImageFile] = []
    others: list[str] = []
    not_read: list[str] = []
    for split, place in splits.items() or [("", root)]:
        for folder in _folders(place):
            paths, repeated = files_below(root, folder)
            images = [path for path in paths if has_image_suffix(path)]
            if not images and (split, folder.name) == ("", "packed"):
                continue
            if not images and split in ("", "train"):
                raise UsageError(
                    f"{folder} holds no images{_other_endings(paths)}: add some, or remove the empty class"
                )
            files += [ImageFile(path, class_name(folder.name), split, path) for path in images]
            others += [path for path in paths if not has_image_suffix(path)]
            not_read += [f"{path}/: leads to a folder that is read already" for path in repeated]
        if loose := [path.name for path in _visible(place) if has_image_suffix(path.name) and not path.is_dir()]:
            not_read.append(
                f"{counted(len(loose), 'image')} in {place}/ itself, in no class's folder, such as {min(loose)}"
            )
    if splits:
        beside = {folder.name for folder in _folders(root)} - {place.name for place in splits.values()} - {"packed"}
        not_read += [f"{name}/: beside {splits['train'].name}/, but not named like a split" for name in sorted(beside)]
    return sorted(files), [*not_read, *no_images(others)]


def _split_folders(root: Path) -> dict[str, Path]:
    """The folder of each split, of those that hold folders; none if the classes lie in root itself."""
    found: dict[str, list[Path]] = {split: [] for split in SPLITS}
    for folder in _folders(root):
        if (split := split_of(folder.name)) and _folders(folder):
            found[split].append(folder)
    for split, folders in found.items():
        if len(folders) > 1:
            names = " and ".join(f"{folder.name}/" for folder in folders)
            raise UsageError(f"{root} holds {names}, which all name the split {split}: put their images together")
    splits = {split: folders[0] for split, folders in found.items() if folders}
    if splits and "train" not in splits:
        raise UsageError(
            f"{root} holds {' and '.join(f'{place.name}/' for place in splits.values())} but no train/ with class "
            "folders: add it, or put the class folders into root itself to have them split"
        )
    return splits


def no_images(paths: list[str]) -> list[str]:
    """A line about files that are not read since their names do not end like an image's; none if there are none."""
    if not paths:
        return []
    example = printable(min(paths))
    return [f"{counted(len(paths), 'file')} of other kinds{_other_endings(paths)}, such as {example}"]


def _other_endings(paths: list[str]) -> str:
    """How many files have which ending, in brackets, most first."""
    endings = Counter(os.path.splitext(path)[1].lower() or "no ending" for path in paths if not has_image_suffix(path))
    if not endings:
        return ""
    listed = ", ".join(f"{count:,} {printable(ending)}" for ending, count in endings.most_common(5))
    heif = "; HEIC is read if the package pillow-heif is installed" if endings.keys() & {".heic", ".heif"} else ""
    return f" ({listed}{heif})"


def has_image_suffix(name: str) -> bool:
    """Whether a file is an image of a format that is read, judged by its name."""
    suffix = os.path.splitext(name)[1].lower()
    return not name.startswith(".") and Image.registered_extensions().get(suffix) in formats()


def digest(root: Path, paths: Iterable[str]) -> str:
    """A hash of the files' paths, sizes and times: it changes when a file does."""
    hasher = hashlib.sha256()
    for path in sorted(paths):
        try:
            found = os.stat(f"{root}/{path}")
            state = f"{found.st_size}\0{found.st_mtime_ns}"
        except OSError:  # a link to nothing; that it cannot be read will be said
            state = "absent"
        hasher.update(f"{path}\0{state}\n".encode(errors="surrogateescape"))
    return hasher.hexdigest()


def refuse_names_that_differ_in_case(names: Iterable[str]) -> None:
    """Raise a UsageError if two classes would be one folder on other machines."""
    spellings: dict[str, str] = {}
    for name in sorted(names):
        first = spellings.setdefault(name.casefold(), name)
        if first != name:
            raise UsageError(f"{first!r} and {name!r} differ only in case: rename one, or put their images together")


def _folders(folder: Path) -> list[Path]:
    return [path for path in _visible(folder) if path.is_dir()]


def _visible(folder: Path) -> list[Path]:
    """What lies in a folder, by name, except for what is hidden; nothing if there is no such folder."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if not path.name.startswith(".")]
