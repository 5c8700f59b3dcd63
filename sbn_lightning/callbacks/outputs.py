"""What an evaluation leaves of each image: the arrays of `sbn test`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sbn_lightning.run.calibration import Labels
from sbn_lightning.run.files import whole_file

Content = TypeVar("Content")

LOGIT_BINS = 600
"""Bins of the stored histograms, of equal width from the smallest logit to the largest."""


def gather(batches: list[tuple[Tensor, Tensor]], world_size: int) -> tuple[NDArray[np.float32], Labels]:
    """Join the logits (n, C) and labels (n,) of the batches of all processes, in the dataset's order.

    Every process must call it; process r of k has evaluated images r, r + k, r + 2k, …
    """
    own = tuple(torch.cat(parts).numpy() for parts in zip(*batches, strict=True))
    parts = of_all_processes(own, world_size)
    count = sum(len(labels) for _, labels in parts)
    logits, labels = np.empty((count, own[0].shape[1]), np.float32), np.empty(count, np.int64)
    for rank, part in enumerate(parts):
        logits[rank::world_size], labels[rank::world_size] = part
    return logits, labels


def of_all_processes(own: Content, world_size: int) -> list[Content]:
    """Return what each process gives, in the order of their ranks. Every process must call it."""
    parts = [own] * world_size
    if world_size > 1:
        torch.distributed.all_gather_object(parts, own)
    return parts


def write_arrays(
    file: Path, logits: NDArray[np.float32], labels: Labels, norms: tuple[Tensor, Tensor], class_names: list[str]
) -> None:
    """Write the results of a test as arrays that NumPy reads without pickle, so that the model need not run again.

    - `logits` (N, C) float32 (earlier versions: float16), `predictions` and `labels` (N,) int32, all in the dataset's
      order
    - `logit_edges` (bins + 1,), `logit_counts` and `true_class_logit_counts` (bins,): Figure 2's histograms
    - `class_weight_norm` and `effective_class_weight_norm` (C,): the norms, Figure 3's, of `weight_norms`
    - `class_names` (C,)
    """
    own = logits[np.arange(len(labels)), labels]
    edges = bin_edges(logits)
    norm, effective_norm = norms
    with whole_file(file, "wb") as stream:
        np.savez_compressed(
            stream,
            allow_pickle=False,
            logits=logits,
            predictions=logits.argmax(1).astype(np.int32),
            labels=labels.astype(np.int32),
            logit_edges=edges,
            logit_counts=np.histogram(logits[np.isfinite(logits)], edges)[0],
            true_class_logit_counts=np.histogram(own[np.isfinite(own)], edges)[0],
            class_weight_norm=norm.numpy(),
            effective_class_weight_norm=effective_norm.numpy(),
            class_names=np.array(class_names, dtype=np.str_),
        )


def bin_edges(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return (LOGIT_BINS + 1,) edges from the smallest finite logit to the largest, with an empty bin at each end."""
    finite = logits[np.isfinite(logits)]
    lower, upper = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    width = max((upper - lower) / (LOGIT_BINS - 3), 1e-6 * max(1.0, abs(lower)))  # one to spare: edges are rounded
    return lower - 1.5 * width + width * np.arange(LOGIT_BINS + 1, dtype=np.float64)


def class_accuracy(logits: NDArray[np.float32], labels: Labels, class_names: Sequence[str]) -> dict[str, float]:
    """Return the share of the images of each class that is right, to six digits; without classes of no image."""
    images = np.bincount(labels, minlength=len(class_names))
    correct = np.bincount(labels[logits.argmax(1) == labels], minlength=len(class_names))
    counts = zip(class_names, correct.tolist(), images.tolist(), strict=True)
    return {name: round(right / all_of_it, 6) for name, right, all_of_it in counts if all_of_it}
