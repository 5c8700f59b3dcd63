"""What lies in a folder and in the folders in it: each is read once, whatever links lead where."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class ReadFolder(NamedTuple):
    """A folder, and what lies in it.

    Attributes:
        path: As it was reached.
        files: Names of the files in it, in order, without the hidden ones.
        is_repeated: Whether this is a link to a folder that was read before, and whose files are not repeated.
        error: Why the folder cannot be read; None if it can.
    """

    path: str
    files: list[str]
    is_repeated: bool = False
    error: OSError | None = None


class FolderReader:
    """Reads each folder once, under its own name rather than a link's: links to a folder that was read already, or that
    contains this one, would lead to files that are in the list, or have no end.

    Args:
        above: Folders that count as read.

    Attributes:
        read: The identity of each folder that was read.
    """

    def __init__(self, above: Iterable[str] = ()) -> None:
        self.read = {identity(place) for place in above}

    def below(self, folder: str) -> Iterator[ReadFolder]:
        """Yield a folder and the folders in it, but the hidden ones, each when it is read."""
        folders, links = [folder], deque[str]()
        while folders or links:
            current = folders.pop() if folders else links.popleft()
            try:
                if (found := identity(current)) in self.read:
                    yield ReadFolder(current, [], is_repeated=True)
                    continue
                self.read.add(found)
                files, inside, linked = _content(current)
            except OSError as error:
                yield ReadFolder(current, [], error=error)
                continue
            folders += [os.path.join(current, name) for name in reversed(inside)]
            links += [os.path.join(current, name) for name in linked]
            yield ReadFolder(current, files)


def _content(folder: str) -> tuple[list[str], list[str], list[str]]:
    """The names of the files, folders, and links to folders in a folder, each in order, without the hidden ones."""
    files: list[str] = []
    folders: list[str] = []
    links: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                folders.append(entry.name)
            elif entry.is_symlink() and os.path.isdir(entry.path):
                links.append(entry.name)
            else:
                files.append(entry.name)
    return sorted(files), sorted(folders), sorted(links)


def identity(folder: str) -> tuple[int, int]:
    """Return what tells a folder from all others, by whatever path it is reached."""
    found = os.stat(folder)
    return found.st_dev, found.st_ino


def files_below(root: Path, folder: Path) -> tuple[list[str], list[str]]:
    """The paths from root, with slashes, of the files in a folder and in the folders in it, but the hidden ones.

    Returned apart are the links that FolderReader does not follow. An OSError says if a folder cannot be read.
    """
    reader = FolderReader(str(place) for place in folder.parents if place.is_relative_to(root))
    files: list[str] = []
    repeated: list[str] = []
    for path, names, is_repeated, error in reader.below(str(folder)):
        if error:
            raise error
        start = Path(path).relative_to(root).as_posix()
        files += [f"{start}/{name}" for name in names]
        repeated += [start] * is_repeated
    return files, repeated
