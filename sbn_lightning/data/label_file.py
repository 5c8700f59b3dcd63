"""A CSV file that says which image is of which class, and perhaps in which split and group."""

import csv
import unicodedata
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sbn_lightning.data.listing import SPLITS, ImageFile, class_name, split_of
from sbn_lightning.errors import UsageError


def list_label_file(root: Path, file: Path) -> list[ImageFile]:
    """The images that a CSV file lists in the columns `path` (from root) and `label`, ordered by path.

    A column `split` (train, val or test) says where an image belongs. Images with the same `group` belong into one
    split; without a name there an image stands alone. Other columns are not read. Backslashes in a path are taken for
    slashes.

    Raises:
        UsageError: If a column or a value is missing, a path is outside root or listed twice, a split is unknown, a
            group is in two splits, or a listed file is not there.
    """
    lines: dict[str, str] = {}
    files = []
    split_of_group: dict[str, str] = {}
    for where, row in _rows(file):
        image = _image_file(root, where, row)
        if image.path in lines:
            raise UsageError(f"{where} lists {image.path} again (first: {lines[image.path]}); keep one of the lines")
        split = split_of_group.setdefault(image.group, image.split)
        if image.split != split:
            raise UsageError(
                f"{where} puts {image.group} into {image.split}, and an earlier line puts it into {split}: "
                "keep it in one split"
            )
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
                    f"{','.join(columns)[:200]!r}, but should name the columns path,label and perhaps split and group"
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


def _image_file(root: Path, where: str, row: dict[str, str]) -> ImageFile:
    path, label, split, group = (row.get(name, "").strip() for name in ("path", "label", "split", "group"))
    if not path or not label:
        raise UsageError(f"{where} has no {'label' if path else 'path'}: add it, or remove the line")
    if "split" in row and split_of(split) is None:
        raise UsageError(f"{where} names the split {split!r}; it must be one of {', '.join(SPLITS)}")
    if "\0" in path:
        raise UsageError(f"{where} has a zero byte in its path: save the file as text in UTF-8")
    pure = _as_it_lies(root, path)
    if pure.is_absolute() or ".." in pure.parts:
        raise UsageError(f"{where} lists {path}, which is outside root: give paths inside root, relative to it")
    path = str(pure)
    return ImageFile(path, class_name(label), split_of(split) or "", f"group {group}" if group else path)


def _as_it_lies(root: Path, path: str) -> PurePosixPath:
    """The path as its file is called: Windows separates by backslashes, and systems compose é differently."""
    slashes = path.replace("\\", "/")
    spellings = (path, slashes, *(unicodedata.normalize(form, slashes) for form in ("NFC", "NFD")))
    return PurePosixPath(next((spelling for spelling in spellings if (root / spelling).is_file()), slashes))
