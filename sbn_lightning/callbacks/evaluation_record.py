"""What `sbn test` keeps of a run, so that nobody has to run the model again to look at it."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sbn_lightning.run.calibration import Labels, nll, refit
from sbn_lightning.run.files import whole_file

BINS = 600
"""Of the stored histograms, of equal width from the smallest logit to the largest."""
FLOAT16_MAX = 65504.0


class EvaluationRecord:
    """Collects the logits and labels of an evaluation over all processes, in the dataset's order."""

    def __init__(self) -> None:
        self._logits: list[Tensor] = []
        self._labels: list[Tensor] = []

    def add(self, logits: Tensor, labels: Tensor) -> None:
        """Keep a batch of this process: logits (n, C), labels (n,)."""
        self._logits.append(logits.detach().float().cpu())
        self._labels.append(labels.cpu())

    def gather(self, world_size: int) -> tuple[NDArray[np.float32], Labels]:
        """Logits (N, C) and labels (N,) of all processes, on each of them; every process must call it, and waits.

        Process r of k evaluates images r, r + k, r + 2k, …
        """
        own = torch.cat(self._logits).numpy(), torch.cat(self._labels).numpy()
        parts: list[Any] = [own]
        if world_size > 1:
            parts = [None] * world_size
            torch.distributed.all_gather_object(parts, own)
        count = sum(len(labels) for _, labels in parts)
        logits = np.empty((count, own[0].shape[1]), np.float32)
        labels = np.empty(count, np.int64)
        for rank, part in enumerate(parts):
            logits[rank::world_size], labels[rank::world_size] = part
        return logits, labels


def calibration_facts(logits: NDArray[np.float32], labels: Labels) -> dict[str, Any]:
    """Mean cross-entropy of the logits as they are; and with their scale refitted, by cross-fitting on two halves."""
    wide = logits.astype(np.float64)
    refitted = refit(wide, labels) if len(labels) > 1 else None
    return {
        "test/nll": nll(wide, labels),
        "refitted": refitted and refitted._asdict() | {"scales": list(refitted.scales)},
    }


def write_record(file: Path, logits: NDArray[np.float32], labels: Labels, head: Any, class_names: list[str]) -> None:
    """Write test.npz, which NumPy reads without pickle, each array when it is asked for.

    - `logits` (N, C) float16, `predictions` (N,) int32 of the logits before they were rounded, and `labels` (N,) int32,
      all in the dataset's order
    - `logit_edges` (bins + 1,), `logit_counts` and `true_class_logit_counts` (bins,): Figure 2's histograms
    - `class_weight_norm` and `effective_class_weight_norm` (C,): Figure 3's, as trained and as inference uses them
    - `class_names` (C,)
    """
    own = logits[np.arange(len(labels)), labels]
    edges = bin_edges(logits)
    arrays: dict[str, Any] = {
        "logits": logits.clip(-FLOAT16_MAX, FLOAT16_MAX).astype(np.float16),
        "predictions": logits.argmax(1).astype(np.int32),
        "labels": labels.astype(np.int32),
        "logit_edges": edges,
        "logit_counts": np.histogram(logits[np.isfinite(logits)], edges)[0],
        "true_class_logit_counts": np.histogram(own[np.isfinite(own)], edges)[0],
        "class_weight_norm": weight_norm(head.class_weight),
        "effective_class_weight_norm": weight_norm(head.as_linear().weight),
        "class_names": np.array(class_names, dtype=np.str_),
    }
    with whole_file(file, "wb") as stream:
        np.savez_compressed(stream, allow_pickle=False, **arrays)


def bin_edges(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """(BINS + 1,), from the smallest finite logit to the largest, with an empty bin at each end."""
    finite = logits[np.isfinite(logits)]
    lower, upper = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
    width = max((upper - lower) / (BINS - 3), 1e-6 * max(1.0, abs(lower)))  # one to spare: edges are rounded
    return lower - 1.5 * width + width * np.arange(BINS + 1, dtype=np.float64)


def weight_norm(weight: Tensor) -> NDArray[np.float32]:
    """(C, D) -> (C,) Euclidean norms."""
    return torch.linalg.vector_norm(weight.detach().float(), dim=1).cpu().numpy()
