"""Image files in a folder or a zip archive become pixels: one file at a time, and all of them by all cores."""

import io
import multiprocessing
import os
import signal
import sys
import threading
import warnings
import zlib
from collections.abc import Generator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile, ZipFile

import numpy as np
import simplejpeg  # type: ignore[import-untyped]
from PIL import Image, ImageOps, UnidentifiedImageError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sbn_lightning.errors import UsageError

Fit = Literal["crop", "squash", "letterbox"]
OnBadImage = Literal["error", "skip"]

MAX_PIXELS = 100_000_000  # a small file can claim a size that takes all memory to decode
TOO_MANY = f"more than {MAX_PIXELS // 10**6} million pixels"
SMALLEST, LARGEST = 64, 256  # images that a process decodes at a time


class BadImage(ValueError):  # noqa: N818  (what it is, not what the program did wrong)
    """An image file that cannot be used; its text says why."""


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

    def __reduce__(self) -> tuple[type["ZipSource"], tuple[Path]]:
        return ZipSource, (self.path,)  # a process that inherits nothing reads the directory itself


Source = FolderSource | ZipSource


def decode_image(content: bytes, image_size: tuple[int, int], fit: Fit) -> np.ndarray:
    """Decode an image file and fit it into H × W pixels: (3, H, W) uint8.

    Whatever Pillow reads becomes RGB: turned as its EXIF data says, 16-bit gray by its upper 8 bits, transparent parts
    white. Of an animation, the first frame.

    Args:
        content: The file.
        image_size: H and W.
        fit: For images of another shape: `squash` changes the aspect ratio, `crop` cuts off what lies outside the
            middle, `letterbox` adds black borders.

    Raises:
        BadImage: If it is empty, not an image, damaged, of more than 100 million pixels, less than 2 pixels wide or
            high (a placeholder, not a picture), or of numbers that are not gray levels from 0 to 65,535.
    """
    if not content:
        raise BadImage("is empty")
    pixels = _decode_plain_jpeg(content, image_size)
    if pixels is None:
        height, width = image_size
        pixels = np.asarray(_fitted(_to_rgb(content, 2 * max(image_size)), (width, height), fit))
    return pixels.transpose(2, 0, 1)


def _decode_plain_jpeg(content: bytes, image_size: tuple[int, int]) -> np.ndarray | None:
    """Pillow's pixels, (H, W, 3), in four tenths of its time; None for anything but an undamaged gray or YCbCr JPEG of
    this size without EXIF data."""
    if not content.startswith(b"\xff\xd8") or b"Exif\0\0" in content:
        return None
    try:
        height, width, color_space, _ = simplejpeg.decode_jpeg_header(content)
        if (height, width) == image_size and color_space in ("Gray", "YCbCr"):
            return simplejpeg.decode_jpeg(content, "RGB")
    except ValueError:
        pass  # Pillow will say what is wrong
    return None


def _to_rgb(content: bytes, enough: int) -> Image.Image:
    """The image in RGB and upright; a JPEG is decoded no larger than it takes for `enough` pixels on each side."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            image = Image.open(io.BytesIO(content))
        if image.width * image.height > MAX_PIXELS:
            raise BadImage(f"has {image.width} × {image.height}, {TOO_MANY}")
        if min(image.size) < 2:
            raise BadImage(f"has {image.width} × {image.height} pixels, too few to show anything")
        image.draft(None, (enough, enough))
        image.load()
        upright = ImageOps.exif_transpose(image)
        if upright.mode == "F":
            raise BadImage("holds floating-point numbers, which have no set black and white; convert it to 8 bits")
        if upright.mode.startswith("I"):
            levels = np.asarray(upright).astype(np.int64)
            if levels.min() < 0 or levels.max() > 65_535:
                raise BadImage("holds numbers beyond 16 bits; convert it to 8 bits")
            upright = Image.fromarray((levels >> 8).astype(np.uint8))
        elif upright.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in upright.info:
            upright = upright.convert("RGBA")
            upright = Image.alpha_composite(Image.new("RGBA", upright.size, "white"), upright)
        return upright.convert("RGB")
    except BadImage:
        raise
    except Image.DecompressionBombError as error:
        raise BadImage(f"has {TOO_MANY}") from error
    except UnidentifiedImageError as error:
        raise BadImage("is not an image in a supported format") from error
    except Exception as error:  # Pillow raises whatever damaged data leads it to
        raise BadImage(f"is truncated or damaged ({error})") from error


def _fitted(image: Image.Image, size: tuple[int, int], fit: Fit) -> Image.Image:
    if image.size == size:
        return image
    if fit == "crop":
        return ImageOps.fit(image, size, Image.Resampling.BILINEAR)
    if fit == "squash":
        return image.resize(size, Image.Resampling.BILINEAR)
    scale = min(size[0] / image.width, size[1] / image.height)
    inner = max(1, round(scale * image.width)), max(1, round(scale * image.height))
    canvas = Image.new("RGB", size)
    canvas.paste(image.resize(inner, Image.Resampling.BILINEAR), ((size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2))
    return canvas


def decode_files(source: Source, names: Sequence[str], file: Path, fit: Fit, on_bad_image: OnBadImage) -> list[str]:
    """Decode image files by all cores into the rows of an array that numpy.save wrote, (N, 3, H, W) uint8.

    Returns what is wrong with each file; an empty text if it could be used. A UsageError says which file cannot be used
    if on_bad_image is `error`, or that a process was killed.
    """
    columns = TextColumn("packing"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    hidden = not (sys.stdout and sys.stdout.isatty())
    problems: list[str] = []
    with (
        # The bar is drawn by hand, since a process with a thread that prints must not be forked.
        Progress(*columns, transient=True, auto_refresh=False, disable=hidden) as progress,
        closing(_by_all_cores(source, file, fit, names)) as pieces,
    ):
        task = progress.add_task("", total=len(names))
        for piece in pieces:
            problems += piece
            if on_bad_image == "error" and any(piece):
                name, problem = next(pair for pair in zip(names, problems, strict=False) if pair[1])
                raise UsageError(
                    f"{source.path}/{name} {problem}; replace or remove it, or leave out such images with "
                    "--data.on_bad_image skip"
                )
            progress.update(task, completed=len(problems), refresh=True)
    return problems


def _decode_rows(source: Source, file: Path, fit: Fit, first: int, names: Sequence[str]) -> list[str]:
    """Decode files into consecutive rows, and return what is wrong with each."""
    images = np.lib.format.open_memmap(file, mode="r+")
    problems = [""] * len(names)
    for number, name in enumerate(names):
        try:
            images[first + number] = decode_image(source.read(name), images.shape[2:], fit)
        except BadImage as problem:
            problems[number] = str(problem)
    return problems


def _by_all_cores(source: Source, file: Path, fit: Fit, names: Sequence[str]) -> Generator[list[str], None, None]:
    """What _decode_rows returns for one piece of the names after another, decoded by a process for each core."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    size = min(max(SMALLEST, len(names) // (8 * cores)), LARGEST)
    rows = range(0, len(names), size)
    pieces = [names[first : first + size] for first in rows]
    if len(pieces) == 1 or cores == 1:
        yield from map(partial(_decode_rows, source, file, fit), rows, pieces)
        return
    # On Linux fork, since a new interpreter would take longer to start than many a dataset to be decoded.
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    pool = ProcessPoolExecutor(min(cores, len(pieces)), context, _start, (source, file, fit))
    try:
        with warnings.catch_warnings():
            # The processes take no lock that another thread may hold: they read files, decode them and write pixels.
            warnings.filterwarnings("ignore", ".*multi-threaded, use of fork", DeprecationWarning)
            results = pool.map(_decode_piece, rows, pieces)
        yield from results
    except BrokenProcessPool as error:
        raise UsageError(
            "a process that decodes images was killed, perhaps because the memory was full; close other programs and "
            "start again"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_work: tuple[Source, Path, Fit]  # of a process of the pool


def _start(source: Source, file: Path, fit: Fit) -> None:
    """Prepare a process of the pool. It ends at once, and silently, at Ctrl-C or when its parent has ended."""
    global _work
    _work = source, file, fit
    if isinstance(source, ZipSource):  # processes that share an open file move each other's position in it
        source.archive.fp = open(source.path, "rb")  # noqa: SIM115  (closed with the archive)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _decode_piece(first: int, names: Sequence[str]) -> list[str]:
    return _decode_rows(*_work, first, names)
