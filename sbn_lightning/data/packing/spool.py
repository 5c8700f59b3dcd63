"""Decoded images put aside until it is known which of them are wanted."""

import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from rich.progress import Progress

from sbn_lightning.data.packing.store import Decoded
from sbn_lightning.errors import UsageError


def spool(decoded: Decoded, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read all images and labels; the images go into a file without a name, whose space is free again after use.

    Returns:
        Images (N, 3, H, W) uint8, memory-mapped, and labels (N,).

    Raises:
        UsageError: If folder is full or not writable.
    """
    all_labels = [np.empty(0, np.int64)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            for images, labels in _with_progress_bar(decoded):
                file.write(np.ascontiguousarray(images).data)
                all_labels.append(labels)
            file.flush()
            labels = np.concatenate(all_labels)
            shape = (len(labels), 3, *decoded.image_size)
            return np.memmap(file, np.uint8, "r", shape=shape) if len(labels) else np.empty(shape, np.uint8), labels
    except OSError as error:
        raise UsageError(
            f"the decoded images cannot be put aside in {folder}: {error.strerror or error}; make room there for "
            f"{decoded.num_bytes / 1e6:,.0f} MB, or name another folder with --data.packed_dir DIR"
        ) from error


def unspool(images: np.ndarray, labels: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Those rows of the images, and their labels, in pieces that fit into memory."""
    for start in range(0, len(rows), 1_000):
        piece = rows[start : start + 1_000]
        yield images[piece], labels[piece]


def _with_progress_bar(decoded: Decoded) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    with Progress(transient=True, disable=not sys.stdout.isatty()) as bar:
        task = bar.add_task("decoding", total=decoded.num_images)
        for images, labels in decoded.chunks:
            yield images, labels
            bar.advance(task, len(labels))
