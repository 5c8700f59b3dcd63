"""From image files, of whatever kind, to pixels: read from a folder or a zip, decoded by all cores."""

import io
import os
import sys
import warnings
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol
from zipfile import BadZipFile, ZipFile

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch.utils.data import DataLoader, Dataset
from torchvision.io import ImageReadMode, decode_jpeg

from sbn_lightning.data.packed_store import Decoded

Fit = Literal["crop", "squash", "letterbox"]

MAX_PIXELS = 100_000_000  # a few kilobytes can claim to be so many that decoding them would take all memory
CHUNK = 128  # images that a process decodes at a time


class BadImage(ValueError):  # noqa: N818  (what it is, not what the program did wrong)
    """An image file that cannot be used; its text says why."""


class Source(Protocol):
    """Where image files lie."""

    @property
    def path(self) -> Path:
        """The folder or archive."""

    def read(self, name: str) -> bytes:
        """A file's content; BadImage if it cannot be read."""


@dataclass(frozen=True)
class FolderSource:
    """The files in a folder, named by their path relative to it."""

    path: Path

    def read(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise BadImage(f"cannot be read ({error.strerror})") from error


@dataclass(frozen=True)
class ZipSource:
    """The members of a zip archive; nothing is extracted."""

    path: Path

    def read(self, name: str) -> bytes:
        try:
            return _open_zip(self.path, os.getpid()).read(name)
        except KeyError as error:
            raise BadImage("is not in the archive") from error
        except (BadZipFile, zlib.error, OSError, EOFError) as error:
            raise BadImage(f"is damaged in the archive ({error})") from error


@lru_cache(maxsize=1)
def _open_zip(path: Path, process: int) -> ZipFile:
    """The archive, opened once in each process: processes that share an open file move each other's position in it."""
    return ZipFile(path)


def decode_image(content: bytes, image_size: tuple[int, int], fit: Fit) -> np.ndarray:
    """Decode an image file and fit it into H × W pixels.

    Whatever Pillow reads becomes RGB: turned as its EXIF data says, 16-bit gray by its upper 8 bits, transparent parts
    white. Of an animation, the first frame.

    Args:
        content: The file.
        image_size: H and W.
        fit: For images of another shape: `squash` changes the aspect ratio, `crop` cuts off what lies outside the
            middle, `letterbox` adds black borders.

    Returns:
        (3, H, W) uint8.

    Raises:
        BadImage: If it is empty, no image, damaged, of more than 100 million pixels, less than 2 pixels wide or high
            (a placeholder, not a picture), or of numbers that are no gray levels from 0 to 65,535.
    """
    if not content:
        raise BadImage("is empty")
    height, width = image_size
    with _open(content) as image:  # reads the header only
        if image.format == "JPEG" and image.size == (width, height) and image.mode in ("RGB", "L"):
            pixels = _decode_jpeg(content)
            if pixels is not None and pixels.shape[1:] == image_size:  # EXIF may have turned it
                return pixels
        return np.asarray(_fitted(_to_rgb(image, 2 * max(image_size)), (width, height), fit)).transpose(2, 0, 1)


def _open(content: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # our own limit follows
            image = Image.open(io.BytesIO(content))
    except Image.DecompressionBombError as error:
        raise BadImage(f"has more than {MAX_PIXELS // 10**6} million pixels") from error
    except UnidentifiedImageError as error:
        raise BadImage("is no image of a known format") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged header leads them to
        raise BadImage(f"is damaged ({error})") from error
    if image.width * image.height > MAX_PIXELS:
        raise BadImage(f"has {image.width} × {image.height}, more than {MAX_PIXELS // 10**6} million pixels")
    if min(image.size) < 2:
        raise BadImage(f"has {image.width} × {image.height} pixels, which show nothing")
    return image


def _decode_jpeg(content: bytes) -> np.ndarray | None:
    """(3, H, W), twice as fast as by Pillow; None if libjpeg complains."""
    try:
        encoded = torch.frombuffer(bytearray(content), dtype=torch.uint8)
        return decode_jpeg(encoded, ImageReadMode.RGB, apply_exif_orientation=True).numpy()
    except RuntimeError:
        return None  # Pillow will say what is wrong


def _to_rgb(image: Image.Image, enough: int) -> Image.Image:
    """The image in RGB and upright; a JPEG is decoded no larger than it takes for `enough` pixels on each side."""
    try:
        image.draft(None, (enough, enough))
        image.load()
        image = ImageOps.exif_transpose(image)
        if image.mode == "F":
            raise BadImage("holds floating-point numbers, which have no set black and white; convert it to 8 bits")
        if image.mode.startswith("I"):
            levels = np.asarray(image).astype(np.int64)
            if levels.min() < 0 or levels.max() > 65_535:
                raise BadImage("holds numbers beyond 16 bits; convert it to 8 bits")
            image = Image.fromarray((levels >> 8).astype(np.uint8))
        elif image.mode in ("RGBA", "RGBa", "LA", "La", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        return image.convert("RGB")
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise whatever damaged data leads them to
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


def decode_files(
    source: Source,
    names: Sequence[str],
    labels: Sequence[int],
    image_size: tuple[int, int],
    fit: Fit = "squash",
    on_bad_image: Literal["error", "skip"] = "error",
) -> Decoded:
    """Decode files, in their order, by as many processes as there are cores.

    The processes run while the chunks are being read, and end with the last, or when the reader stops.

    Args:
        source: Holds the files.
        names: N files in it.
        labels: N.
        image_size: H and W, pixels.
        fit: As decode_image's.
        on_bad_image: What to do about an image that cannot be used; the first one is an error, or all are skipped.
    """
    skipped: list[str] = []

    def chunks() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        files = _Chunks(source, names, labels, image_size, fit)
        for images, labels_of_chunk, problems in _by_all_cores(files):
            if problems and on_bad_image == "error":
                raise BadImage(
                    f"{source.path}/{problems[0][0]} {problems[0][1]}; replace or remove it, or leave out such images "
                    "with --data.on_bad_image skip"
                )
            skipped.extend(f"{name}: {problem}" for name, problem in problems)
            yield images, labels_of_chunk

    return Decoded(len(names), image_size, chunks(), skipped)


@dataclass
class _Chunks(Dataset):
    """Chunk i: images (n, 3, H, W), labels (n,), and (name, problem) of each file that cannot be used."""

    source: Source
    names: Sequence[str]
    labels: Sequence[int]
    image_size: tuple[int, int]
    fit: Fit

    def __len__(self) -> int:
        return -(-len(self.names) // CHUNK)

    def __getitem__(self, number: int) -> tuple[np.ndarray, np.ndarray, list[tuple[str, str]]]:
        rows = slice(number * CHUNK, (number + 1) * CHUNK)
        names, labels = self.names[rows], np.asarray(self.labels[rows])
        images = np.empty((len(names), 3, *self.image_size), np.uint8)
        good, problems = [], []
        for row, name in enumerate(names):
            try:
                images[row] = decode_image(self.source.read(name), self.image_size, self.fit)
                good.append(row)
            except BadImage as problem:
                problems.append((name, str(problem)))
        return (images[good], labels[good], problems) if problems else (images, labels, problems)


def _by_all_cores(dataset: Dataset) -> Any:
    """A PyTorch DataLoader as a pool of processes that keeps the order and never outlives its reader."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    workers = min(cores, len(dataset)) if len(dataset) > 1 else 0  # type: ignore[arg-type]
    # torch's own start of processes on Linux, where a new interpreter would take longer than many a data set.
    context = ("fork" if sys.platform == "linux" else "spawn") if workers else None
    return DataLoader(
        dataset, batch_size=None, collate_fn=_as_it_is, num_workers=workers, multiprocessing_context=context
    )


def _as_it_is(item: Any) -> Any:
    return item
