"""How a head's training step grows with the number of classes, and the memory of an epoch's metrics with its images."""

from collections.abc import Callable, Iterator
from types import SimpleNamespace

import torch
import torch.nn.functional as F

from sbn_lightning.callbacks import LogitHistogram
from sbn_lightning.heads import Head, ScaledBatchNormHead, SoftmaxHead
from sbn_lightning.metrics import StageMetrics
from tests.benchmarks.comparison import Row, compare, timed

N, D = 128, 512
CLASSES = 100
REPETITIONS = 7
CLASSES_AND_STEPS = ((1_000, 50), (10_000, 5), (100_000, 1))  # steps in one repetition


def rows() -> Iterator[Row]:
    """Scaled batch normalization beside softmax, a row for each number of classes; then the metrics' memory."""
    for num_classes, steps in CLASSES_AND_STEPS:
        ours, theirs = (training_steps(kind(D, num_classes), steps) for kind in (ScaledBatchNormHead, SoftmaxHead))
        what = f"ScaledBatchNormHead beside SoftmaxHead, step with SGD, C = {num_classes:,}"
        ours(), theirs()  # allocates gradients and momentum
        yield compare(ours, theirs, REPETITIONS).time_row(what)
    yield memory_row()


def training_steps(head: Head, steps: int) -> Callable[[], float]:
    """How to measure a step: forward, backward and the paper's optimizer."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(N, D, generator=generator, requires_grad=True)
    labels = torch.randint(head.num_classes, (N,), generator=generator)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def run() -> None:
        for _ in range(steps):
            features.grad = None
            loss = head.loss(head(features), labels, features)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return timed(run, steps)


def memory_row() -> Row:
    """The most that an epoch's metrics and histograms hold, of 10 times the images beside those of one."""
    few, many = (bytes_of_an_epoch(batches) for batches in (100, 1000))
    what = f"memory of an epoch's metrics and histograms, {1000 * N:,} images beside {100 * N:,}, C = {CLASSES}"
    return Row(what, f"{many:,} bytes", f"{few:,} bytes", f"{many / few:.3g}× the bytes", "constant")


def bytes_of_an_epoch(batches: int) -> int:
    """The bytes of all tensors that StageMetrics and LogitHistogram hold in this number of batches, at most."""
    generator = torch.Generator().manual_seed(0)
    metrics, histogram, module = StageMetrics(CLASSES), LogitHistogram(), SimpleNamespace(device="cpu")
    histogram.on_validation_epoch_start(None, module)
    most = 0
    for _ in range(batches):
        logits = torch.randn(N, CLASSES, generator=generator)
        labels = torch.randint(CLASSES, (N,), generator=generator)
        metrics.update(F.cross_entropy(logits, labels), logits, labels)
        histogram.on_validation_batch_end(None, module, {"logits": logits, "labels": labels})
        most = max(most, tensor_bytes([vars(metrics), vars(histogram)]))
    return most


def tensor_bytes(held: object) -> int:
    """The bytes of the tensors in nested lists, tuples and dicts."""
    if isinstance(held, torch.Tensor):
        return held.nbytes
    inside = held.values() if isinstance(held, dict) else held if isinstance(held, (list, tuple)) else ()
    return sum(map(tensor_bytes, inside))
