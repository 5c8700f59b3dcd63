"""Image files in a folder or a zip archive, decoded by all cores."""

import multiprocessing
import os
import signal
import sys
import threading
import warnings
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from zipfile import BadZipFile, ZipFile

import numpy as np

from sbn_lightning.data.packing.decode import BadImage, Fit, decode_image
from sbn_lightning.errors import UsageError

SMALLEST, LARGEST = 64, 256  # images that a process decodes at a time


@dataclass(frozen=True)
class FolderSource:
    """The files in a folder, named by their path relative to it."""

    path: Path

    def read(self, name: str) -> bytes:
        """Return the content of a file; BadImage if it cannot be read."""
        try:
            return (self.path / name).read_bytes()
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
        except (BadZipFile, EOFError) as error:
            raise UsageError(f"{self.path} is truncated or not a zip archive ({error}); download it again") from error

    def read(self, name: str) -> bytes:
        """Return the content of a member; BadImage if it cannot be read."""
        try:
            return self.archive.read(name)
        except KeyError as error:
            raise BadImage("is not in the archive") from error
        except (BadZipFile, NotImplementedError, RuntimeError, zlib.error, OSError, EOFError) as error:
            raise BadImage(f"cannot be read from the archive ({error})") from error

    def reopen(self) -> None:
        """Open the file again: processes that share an open file move each other's position in it."""
        self.archive.fp = open(self.path, "rb")  # noqa: SIM115  (closed with the archive)

    def __reduce__(self) -> tuple[type["ZipSource"], tuple[Path]]:
        return ZipSource, (self.path,)  # a process that inherits nothing reads the directory itself


Source = FolderSource | ZipSource


@dataclass(frozen=True)
class Decoder:
    """Decodes files of a source into the rows of an array that numpy.save wrote, (N, 3, H, W) uint8."""

    source: Source
    file: Path
    fit: Fit

    @cached_property
    def images(self) -> np.ndarray:
        """The array, mapped into this process's memory."""
        return np.lib.format.open_memmap(self.file, mode="r+")

    def decode(self, first: int, names: Sequence[str]) -> list[str]:
        """Decode files into consecutive rows, and return what is wrong with each; nothing if it could be used."""
        problems = [""] * len(names)
        for number, name in enumerate(names):
            try:
                pixels = decode_image(self.source.read(name), self.images.shape[2:], self.fit)
                self.images[first + number] = pixels
            except BadImage as problem:
                problems[number] = str(problem)
        return problems


@contextmanager
def decoding(decoder: Decoder, names: Sequence[str]) -> Iterator[Iterator[list[str]]]:
    """Decode files into the rows 0, 1, …, by as many processes as there are cores; these end with the context.

    Yields:
        What Decoder.decode returns, for some files after others.

    Raises:
        UsageError: If a process is killed.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    size = min(max(SMALLEST, len(names) // (8 * cores)), LARGEST)
    rows = range(0, len(names), size)
    pieces = [names[first : first + size] for first in rows]
    if len(pieces) == 1 or cores == 1:
        yield map(decoder.decode, rows, pieces)
        return
    # On Linux fork, since a new interpreter would take longer to start than many a dataset to be decoded.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(min(cores, len(pieces)), context, initializer=_start, initargs=(decoder,))
    try:
        with warnings.catch_warnings():
            # The processes take no lock that another thread may hold: they read files, decode them and write pixels.
            warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
            results = pool.map(_decode, rows, pieces)
        yield results
    except BrokenProcessPool as error:
        raise UsageError(
            "a process that decodes images was killed, perhaps because the memory was full; close other programs and "
            "start again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_decoder: Decoder  # of a process of the pool


def _start(decoder: Decoder) -> None:
    """Prepare a process of the pool. It ends at once, and silently, at Ctrl-C or when its parent has ended."""
    global _decoder
    _decoder = decoder
    if isinstance(decoder.source, ZipSource):
        decoder.source.reopen()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _decode(first: int, names: Sequence[str]) -> list[str]:
    return _decoder.decode(first, names)
