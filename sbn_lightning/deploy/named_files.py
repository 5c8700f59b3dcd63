"""The image files that a user names: files, folders and patterns; each file once, found while they are read."""

import glob
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from PIL import Image

from sbn_lightning.data.decode import formats
from sbn_lightning.data.folders import FolderReader, identity
from sbn_lightning.data.listing import class_name, has_image_suffix, split_of
from sbn_lightning.errors import UsageError, named
from sbn_lightning.run.files import user_path

UNKNOWN = -1
"""The label of an image of which no folder says the class."""


class NamedFile(NamedTuple):
    """A file that a user has named, by itself or by a folder.

    Attributes:
        path: As it is opened and shown: what the user has named, and for a file of a folder its place in there.
        label: Number of its class, or UNKNOWN.
        error: What is wrong if it is a folder that cannot be read; otherwise an empty text.
        is_repeated: Whether it was named before.
    """

    path: str
    label: int = UNKNOWN
    error: str = ""
    is_repeated: bool = False


class NamedFiles:
    """The image files in what a user has named. Iterated over, it reads the folders again and keeps no list of files.

    - A file is taken whatever its name is.
    - Of a folder all files with an image's suffix are taken, and those of the folders in it, but hidden ones. Links are
      followed, and each folder is read once. Where its folders are called like classes of the model, or where it holds
      train, val or test with such folders, these are the labels. Folders without images do not matter.
    - A pattern (`*`, `?`, `[…]`, and `**` for folders in folders), which a shell has not replaced, means what it finds.

    Args:
        arguments: What the user has named.
        class_names: Those of the model.

    Attributes:
        count: Number of files.
        repeated: How many were named again.
        has_labels: Whether a label of any file is known.
        unlabelled: {folder: the folders in it that are not called like a class, though others are}: they are why none
            of the folder's files has a label.

    Raises:
        UsageError: If there is no such file or folder, or no image in all of them.
    """

    def __init__(self, arguments: Sequence[str], class_names: Sequence[str]) -> None:
        self._paths = [path for argument in arguments for path in _found(argument)]
        self._may_repeat = len(arguments) > 1  # the files that one pattern finds need not be remembered
        self._labels: dict[str, dict[tuple[str, ...], int]] = {}
        self.unlabelled: dict[str, list[str]] = {}
        for path in filter(os.path.isdir, self._paths):
            self._labels[path], unknown = class_folders(path, class_names)
            if unknown:
                self.unlabelled[path] = unknown
        self.count, self.repeated, self.has_labels = 0, 0, False
        for file in self._walk():
            self.count += not file.is_repeated
            self.repeated += file.is_repeated
            self.has_labels |= file.label != UNKNOWN and not file.is_repeated
        if not self.count:
            suffixes = sorted(ending for ending, kind in Image.registered_extensions().items() if kind in formats())
            raise UsageError(
                f"there is no image in {named(self._paths)}; name images, or a folder with images: files that are not "
                f"hidden, and whose names end in {', '.join(suffixes)}"
            )

    def __iter__(self) -> Iterator[NamedFile]:
        return (file for file in self._walk() if not file.is_repeated)

    def _walk(self) -> Iterator[NamedFile]:
        reader = FolderReader()
        files: set[tuple[tuple[int, int] | None, str]] = set()  # that were named by themselves: (folder, name)
        for path in self._paths:
            if path not in self._labels:
                key = _identity_of(os.path.dirname(path)), os.path.basename(path)
                yield NamedFile(path, is_repeated=key in files or (key[0] in reader.read and has_image_suffix(key[1])))
                files |= {key} if self._may_repeat else set()
                continue
            for folder, names, _, error in reader.below(path):
                if error:
                    yield NamedFile(folder, error=f"cannot be read ({error.strerror})")
                label, here = self._label_of(path, folder), _identity_of(folder) if files else None
                for name in filter(has_image_suffix, names):
                    yield NamedFile(os.path.join(folder, name), label, is_repeated=(here, name) in files)

    def _label_of(self, argument: str, folder: str) -> int:
        """The label of the files in a folder that was found below an argument."""
        parts, labels = tuple(os.path.relpath(folder, argument).split(os.sep)), self._labels[argument]
        return labels.get(parts[:1], labels.get(parts[:2], UNKNOWN))


def class_folders(folder: str, class_names: Sequence[str]) -> tuple[dict[tuple[str, ...], int], list[str]]:
    """Return the label of each folder in a folder that is called like a class, by its place: {("cat",): 0} or {("test",
    "cat"): 0}; none if the folders there, or in one called like a split, are not all called so. Returned besides are
    those that are not, if others are."""
    label_of = {name: label for label, name in enumerate(class_names)}
    labels: dict[tuple[str, ...], int] = {}
    odd: list[str] = []
    splits = [(name,) for name in _folders_in(folder) if split_of(name)]
    for place in [(), *splits]:
        names = _folders_in(os.path.join(folder, *place))
        known = {(*place, name): label_of[class_name(name)] for name in names if class_name(name) in label_of}
        others = [os.path.join(*place, name) for name in names if (*place, name) not in known]
        others = [name for name in others if _holds_images(os.path.join(folder, name))] if known else []
        if not others:
            labels |= known
        odd += others
        if not place and labels:
            break
    return labels, odd


def _found(argument: str) -> list[str]:
    """The paths that an argument means: itself, or what a pattern finds."""
    path = str(user_path(argument))
    if os.path.lexists(path):
        return [path]
    if not glob.has_magic(path):
        raise UsageError(f"there is no file or folder {path}; --images takes files, folders, and patterns in quotes")
    found = sorted(glob.iglob(path, recursive=True))
    if not found:
        raise UsageError(f"the pattern {path} matches no file and no folder")
    return found


def _folders_in(folder: str) -> list[str]:
    """The names of the folders in a folder, or of links to folders, but hidden ones; none if it cannot be read."""
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.name[0] != "." and entry.is_dir())
    except OSError:
        return []


def _holds_images(folder: str) -> bool:
    return any(has_image_suffix(name) for read in FolderReader().below(folder) for name in read.files)


def _identity_of(folder: str) -> tuple[int, int] | None:
    """What tells a folder from others; None if it is gone."""
    try:
        return identity(folder or os.curdir)
    except OSError:
        return None


def labels_text(files: NamedFiles) -> str:
    """Say why a folder's files have no labels though some of the folders in it are called like classes."""
    texts = (f"{path} holds {named(names)}" for path, names in files.unlabelled.items())
    return f"{'; '.join(texts)}, of which there is no class; so no label is taken from its folders' names"
