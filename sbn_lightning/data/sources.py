"""Files in a folder or in a zip archive, read whole but never beyond a limit, whatever lies there."""

import os
import stat
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

from sbn_lightning.errors import UsageError

READING = 2  # raised when the same files give other pixels than before; part of the fingerprint of such sources
MAX_BYTES = 256_000_000  # of an image file: an uncompressed photo of 80 million pixels
MAX_TEXT = 16_000_000  # of a list of classes or labels; the longest official one has 2.7 MB


class BadImage(ValueError):  # noqa: N818  (what it is, not what the program did wrong)
    """An image file that cannot be used; its text says why."""


@dataclass(frozen=True)
class FolderSource:
    """The files in a folder, named by their path relative to it."""

    path: Path

    def read(self, name: str, at_most: int = MAX_BYTES) -> bytes:
        """Return the content of a file; BadImage if it cannot be read, is larger, or is not a regular file: reading a
        pipe could wait for ever, and reading a device never end."""
        file = os.path.join(self.path, name)  # in half the time of Path's
        try:
            found = os.stat(file)
            if not stat.S_ISREG(found.st_mode):
                raise BadImage("is not a regular file")
            _check_size(found.st_size, at_most)
            with open(file, "rb") as stream:
                return stream.read(found.st_size)
        except OSError as error:
            raise BadImage(f"cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class ZipSource:
    """The members of a zip archive; nothing is extracted."""

    path: Path

    @cached_property
    def archive(self) -> ZipFile:
        """The archive, its directory read once."""
        try:
            return ZipFile(self.path)
        except Exception as error:  # zipfile raises whatever damaged bytes lead it to
            raise UsageError(f"{self.path} is truncated or not a zip archive ({error}); download it again") from error

    def read(self, name: str, at_most: int = MAX_BYTES) -> bytes:
        """Return the content of a member; BadImage if it cannot be read, or is larger."""
        try:
            member = self.archive.getinfo(name)
        except KeyError as error:
            raise BadImage("is not in the archive") from error
        if member.compress_type not in (ZIP_STORED, ZIP_DEFLATED):  # the others may claim any amount of memory
            raise BadImage(f"is compressed by method {member.compress_type}; only stored and deflated files are read")
        _check_size(member.file_size, at_most)
        try:
            with self.archive.open(member) as file:
                # Of a number of bytes, since a member that is larger than it says would first be unpacked whole.
                return file.read(member.file_size + 1)
        except Exception as error:
            raise BadImage(f"cannot be read from the archive ({error})") from error

    def __reduce__(self) -> tuple[type["ZipSource"], tuple[Path]]:
        return ZipSource, (self.path,)  # a process that inherits nothing reads the directory itself


Source = FolderSource | ZipSource


def read_text(source: Source, name: str, instead: str) -> str:
    """Return a small text of a source. A UsageError says if it cannot be read or is not UTF-8, and ends with `instead`,
    what to do then."""
    where = f"{source.path}/{name}"
    try:
        text = source.read(name, MAX_TEXT).decode("utf-8-sig")
    except BadImage as problem:
        raise UsageError(f"{where} {problem}; {instead}") from problem
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8 text ({error.reason} at byte {error.start}); {instead}") from error
    if "\0" in text:
        raise UsageError(f"{where} is not UTF-8 text (it contains zero bytes, as UTF-16 does); {instead}")
    return text


def _check_size(size: int, at_most: int) -> None:
    if size > at_most:
        raise BadImage(f"has {size / 1e6:,.0f} MB, more than the {at_most / 1e6:,.0f} MB that are read")
