"""Images and their classes from a CSV file."""

import csv
from collections import defaultdict
from pathlib import Path, PurePosixPath

from sbn_lightning.data.listing import SPLITS, ImageFile
from sbn_lightning.errors import UsageError


def list_label_file(root: Path, file: Path) -> list[ImageFile]:
    """The images that a CSV file lists in the columns `path` (from root) and `label`, ordered by path.

    A column `split` (train, val or test) says where an image belongs. Images with the same `group` belong into one
    split; without a name there an image stands alone. Other columns are not read.

    Raises:
        UsageError: If a column or a value is missing, a path leads out of root or comes twice, a split is unknown, or a
            group is in two splits.
        UsageError: If a listed file is not there.
    """
    lines: dict[str, str] = {}
    files = []
    for where, row in _rows(file).items():
        image = _image_file(where, row)
        if image.path in lines:
            raise UsageError(f"{where} lists {image.path} again (first: {lines[image.path]}); keep one of the lines")
        lines[image.path] = where
        files.append(image)
    absent = [image.path for image in files if not (root / image.path).is_file()]
    if absent:
        raise UsageError(
            f"{lines[absent[0]]} lists {absent[0]}, but there is no such file in {root} ({len(absent)} of "
            f"{len(files)} listed files are missing): add them, or remove their lines"
        )
    _refuse_divided_groups(file, files)
    return sorted(files)


def _rows(file: Path) -> dict[str, dict[str | None, str]]:
    """Each row by column, under where it stands."""
    try:
        with file.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.DictReader(text, restval="")
            columns = reader.fieldnames or []
            rows = {f"{file}, line {reader.line_num}": row for row in reader}
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{file} is no CSV file in UTF-8 ({error}): save it as one") from error
    missing = [name for name in ("path", "label") if name not in columns]
    if missing:
        raise UsageError(
            f"{file} has no column {' and no column '.join(missing)}: its first line is {','.join(columns)!r}, but "
            "should name the columns path,label and, if there are such, split and group"
        )
    for where, row in rows.items():
        if None in row:  # where DictReader puts what is left
            raise UsageError(f"{where} has more values than there are columns: put values with commas in quotes")
    return rows


def _image_file(where: str, row: dict[str | None, str]) -> ImageFile:
    path, label, split, group = (row.get(name, "").strip() for name in ("path", "label", "split", "group"))
    if not path or not label:
        raise UsageError(f"{where} has no {'label' if path else 'path'}: add it, or remove the line")
    if "split" in row and split not in SPLITS:
        raise UsageError(f"{where} names the split {split!r}; it must be one of {', '.join(SPLITS)}")
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise UsageError(f"{where} lists {path}, which leads out of root: give paths inside root, relative to it")
    return ImageFile(str(pure), label, split, f"group {group}" if group else str(pure))


def _refuse_divided_groups(file: Path, files: list[ImageFile]) -> None:
    splits: defaultdict[str, set[str]] = defaultdict(set)
    for image in files:
        splits[image.group].add(image.split)
    for group, found in splits.items():
        if len(found) > 1:
            raise UsageError(f"{file} has images of {group} in {' and '.join(sorted(found))}: put them into one split")
