"""A trained model answers many images: a thread on each core reads and computes batches."""

import copy
import math
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext

import torch
from torch import Tensor

from sbn_lightning.classifier import Classifier
from sbn_lightning.data.pool import AHEAD, cores
from sbn_lightning.deploy.images import ImageBatch, ReadBatch
from sbn_lightning.deploy.trained import Trained

BATCH_ON_A_CPU, BATCH_ON_A_GPU = 64, 256
"""Images that are computed at a time, at most, unless something else is asked for."""
PIXELS_ON_A_CPU = 2**17
"""Of all images of a batch on a CPU, such as 32 of 64 × 64: what a core computes of few stays in its cache."""
BATCHES = 4
"""How many batches each thread gets at least, so that all end at about the same time."""

Results = tuple[Tensor, ...]


def usual_batch_size(trained: Trained, count: int) -> int:
    """Return how many images to compute at a time on the model's device, if there are `count` images."""
    most = BATCH_ON_A_GPU
    if trained.classifier.device.type == "cpu":
        most = min(BATCH_ON_A_CPU, PIXELS_ON_A_CPU // math.prod(trained.data.image_size))
    return max(1, min(most, count // (BATCHES * cores())))


def computed(
    classifier: Classifier, batches: Iterable[ReadBatch], compute: Callable[[Classifier, ImageBatch], Results]
) -> Generator[tuple[ImageBatch, Results], None, None]:
    """Yield each batch, in order, with what the model computes of it, on the CPU.

    Threads read and compute the batches that come next, few of which are in memory at a time. A thread computes on its
    own core alone, so that no core waits for another at each layer, and the answers do not depend on the number of
    cores. On a GPU, or if there cannot be a copy of the model for each thread, one batch is computed after the other,
    while the threads read.

    Args:
        classifier: In evaluation mode, on its device.
        batches: Functions that read a batch each.
        compute: Called with the model or a copy of it and a batch, by any thread; gives tensors on the model's device.

    A caller that does not need all batches must close the generator, which does not wait for batches that are read.
    """
    copies = copies_of(classifier, cores()) if classifier.device.type == "cpu" else []
    by_turns = nullcontext() if copies else threading.Lock()
    own, left = threading.local(), threading.Event()

    def prepare() -> None:
        if copies:
            torch.set_num_threads(1)
        own.classifier = copies.pop() if copies else classifier

    def read_and_compute(read: ReadBatch) -> tuple[ImageBatch, Results]:
        batch = read(left)
        with torch.inference_mode():
            with by_turns:  # also for the memory of one batch at a time
                results = compute(own.classifier, batch)
            return batch, tuple(result.cpu() for result in results)

    pool = ThreadPoolExecutor(cores(), initializer=prepare)
    in_flight: deque[Future[tuple[ImageBatch, Results]]] = deque()
    try:
        for read in batches:
            in_flight.append(pool.submit(read_and_compute, read))
            if len(in_flight) == AHEAD * cores():
                yield in_flight.popleft().result()
        while in_flight:
            yield in_flight.popleft().result()
    finally:
        left.set()
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch.get_num_threads())  # also for threads that other code starts later


def copies_of(classifier: Classifier, count: int) -> list[Classifier]:
    """Return `count` copies that can compute at the same time: they share only the parameters, since a module may keep
    what it has computed, in a buffer or otherwise.

    The list is empty if a module cannot be copied, or has a hook, which may still refer to the original.
    """
    if any(module._forward_hooks or module._forward_pre_hooks for module in classifier.modules()):
        return []
    try:
        return [copy.deepcopy(classifier, {id(own): own for own in classifier.parameters()}) for _ in range(count)]
    except Exception:  # a module may raise any error when it is copied, such as a TypeError because of a lock
        return []
