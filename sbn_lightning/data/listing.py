"""Which file in a folder is which class's image, and in which split."""

import csv
import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
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

    Returns the images, ordered by path, and a line for each kind of thing that was ignored. A UsageError says if a
    class has no images, or test folders have no training folder beside them.
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
            paths = list(files_below(root, folder))
            images = [path for path in paths if has_image_suffix(path)]
            if not images and (split, folder.name) == ("", "packed"):
                continue
            if not images and split in ("", "train"):
                raise UsageError(f"{folder} holds no images: add some, or remove the empty class")
            files += [ImageFile(path, folder.name, split, path) for path in images]
            others += [path for path in paths if not has_image_suffix(path)]
    beside = {folder.name for folder in _folders(root)} - {*splits, "packed"} if splits else set()
    ignored = [f"{name}/: beside train/, but neither test/ nor val/: not read" for name in sorted(beside)]
    if others:
        ignored.append(f"files that are not images by their names: {len(others)}, such as {min(others)}")
    return sorted(files), ignored


def list_label_file(root: Path, file: Path) -> list[ImageFile]:
    """The images that a CSV file lists in the columns `path` (from root) and `label`, ordered by path.

    A column `split` (train, val or test) says where an image belongs. Images with the same `group` belong into one
    split; without a name there an image stands alone. Other columns are not read.

    Raises:
        UsageError: If a column or a value is missing, a path is outside root or listed twice, a split is unknown, a
            group is in two splits, or a listed file is not there.
    """
    lines: dict[str, str] = {}
    files = []
    split_of: dict[str, str] = {}
    for where, row in _rows(file):
        image = _image_file(where, row)
        if image.path in lines:
            raise UsageError(f"{where} lists {image.path} again (first: {lines[image.path]}); keep one of the lines")
        split = split_of.setdefault(image.group, image.split)
        if image.split != split:
            raise UsageError(f"{where} has {image.group} in {image.split}, an earlier line in {split}: keep it in one")
        lines[image.path] = where
        files.append(image)
    if absent := [path for path in lines if not (root / path).is_file()]:
        raise UsageError(
            f"{lines[absent[0]]} lists {absent[0]}, but there is no such file in {root} ({len(absent)} of "
            f"{len(files)} listed files are missing): add them, or remove their lines"
        )
    return sorted(files)


def _rows(file: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Each row by column, and where it stands."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text, restval="")
            columns = reader.fieldnames or []
            if missing := [name for name in ("path", "label") if name not in columns]:
                raise UsageError(
                    f"{file} has no column {' and no column '.join(missing)}: its first line is "
                    f"{','.join(columns)!r}, but should name the columns path,label and perhaps split and group"
                )
            for row in reader:
                where = f"{file}, line {reader.line_num}"
                if None in row:  # where DictReader puts what is left
                    raise UsageError(
                        f"{where} has more values than there are columns: put values with commas in quotes"
                    )
                yield where, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} is not a CSV file in UTF-8 ({error}): save it as one") from error


def _image_file(where: str, row: dict[str, str]) -> ImageFile:
    path, label, split, group = (row.get(name, "").strip() for name in ("path", "label", "split", "group"))
    if not path or not label:
        raise UsageError(f"{where} has no {'label' if path else 'path'}: add it, or remove the line")
    if "split" in row and split not in SPLITS:
        raise UsageError(f"{where} names the split {split!r}; it must be one of {', '.join(SPLITS)}")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise UsageError(f"{where} lists {path}, which is outside root: give paths inside root, relative to it")
    return ImageFile(str(pure), label, split, f"group {group}" if group else str(pure))


def has_image_suffix(name: str) -> bool:
    """Whether a file is an image that Pillow opens, judged by its name."""
    suffix = os.path.splitext(name)[1].lower()
    return Image.registered_extensions().get(suffix) in Image.OPEN  # some formats are only written


def files_below(root: Path, folder: Path) -> Iterator[str]:
    """The paths from root, with slashes, of the files in a folder and in the folders in it, but the hidden ones."""
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        start = Path(parent).relative_to(root).as_posix()
        yield from (f"{start}/{name}" for name in names if not name.startswith("."))


def digest(root: Path, paths: Iterable[str]) -> str:
    """A hash of the files' paths, sizes and times: it changes when a file does."""
    hasher = hashlib.sha256()
    for path in sorted(paths):
        stat = os.stat(f"{root}/{path}")
        hasher.update(f"{path}\0{stat.st_size}\0{stat.st_mtime_ns}\n".encode(errors="surrogateescape"))
    return hasher.hexdigest()


def refuse_names_that_differ_in_case(names: Iterable[str]) -> None:
    """Raise a UsageError if two classes would be one folder on other machines."""
    spellings: dict[str, str] = {}
    for name in sorted(names):
        first = spellings.setdefault(name.casefold(), name)
        if first != name:
            raise UsageError(f"{first!r} and {name!r} differ only in case: rename one, or put their images together")


def _folders(folder: Path) -> list[Path]:
    """The folders in a folder, by name; none if it is not there."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for path in paths if path.is_dir() and not path.name.startswith(".")]
