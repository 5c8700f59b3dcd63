"""A model computes batch after batch, and the computer does not wait for it more often than it must."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from sbn_lightning.classifier import Classifier
from sbn_lightning.deploy.images import ImageBatch

BATCH_ON_A_CPU, BATCH_ON_A_GPU = 64, 256
"""Images that are computed at a time unless something else is asked for."""


def usual_batch_size(classifier: Classifier) -> int:
    """Return how many images to compute at a time on the model's device."""
    return BATCH_ON_A_CPU if classifier.device.type == "cpu" else BATCH_ON_A_GPU


def inferred(
    classifier: Classifier, batches: Iterable[ImageBatch], results: Callable[[Tensor], tuple[Tensor, ...]]
) -> Iterator[tuple[ImageBatch, tuple[Tensor, ...]]]:
    """Yield each batch with the results of its logits, on the CPU.

    A batch is yielded when the next one has been handed to the device, so that a GPU has always something to compute.

    Args:
        classifier: In evaluation mode, on its device.
        batches: See `images.ImageSource`.
        results: What is wanted of the logits (N, C) float32: tensors on their device.
    """
    device = classifier.device
    is_cuda = device.type == "cuda"
    before = None
    for batch in batches:
        with torch.inference_mode():
            images = (batch.images.pin_memory() if is_cuda else batch.images).to(device, non_blocking=is_cuda)
            wanted = results(classifier(images).float())
            # On a GPU the copies wait for what they copy, and the computer waits for the copies when it needs them.
            own = tuple(result.to("cpu", non_blocking=is_cuda) for result in wanted)
        copied = torch.cuda.Event() if is_cuda else None
        if copied:
            copied.record(torch.cuda.current_stream(device))
        if before:
            yield _ready(*before)
        before = batch, own, copied
    if before:
        yield _ready(*before)


def _ready(
    batch: ImageBatch, results: tuple[Tensor, ...], copied: torch.cuda.Event | None
) -> tuple[ImageBatch, tuple[Tensor, ...]]:
    if copied:
        copied.synchronize()
    return batch, results
