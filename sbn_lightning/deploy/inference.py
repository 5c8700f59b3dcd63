"""A trained model answers many images: a thread on each core reads and computes batches."""

import copy
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from itertools import chain

import torch
from torch import Tensor

from sbn_lightning.classifier import Classifier
from sbn_lightning.data.pool import AHEAD, cores
from sbn_lightning.deploy.images import ImageBatch, ReadBatch

BATCH_ON_A_CPU, BATCH_ON_A_GPU = 16, 256
"""Images that are computed at a time unless something else is asked for. What a core computes of a small batch stays in
its cache."""
BATCHES = 4
"""How many batches each thread gets at least, so that all end at about the same time."""

Results = tuple[Tensor, ...]


def usual_batch_size(classifier: Classifier, count: int) -> int:
    """Return how many of so many images to compute at a time on the model's device."""
    most = BATCH_ON_A_CPU if classifier.device.type == "cpu" else BATCH_ON_A_GPU
    return max(1, min(most, count // (BATCHES * cores())))


def computed(
    classifier: Classifier, batches: Iterable[ReadBatch], compute: Callable[[Classifier, ImageBatch], Results]
) -> Generator[tuple[ImageBatch, Results], None, None]:
    """Yield each batch, in order, with what the model computes of it, on the CPU.

    Threads read and compute the batches that come next, few of which are in memory at a time. A thread computes on its
    own core alone, so that no core waits for another at each layer, and the answers do not depend on the number of
    cores. A GPU computes one batch after the other, while the threads read.

    Args:
        classifier: In evaluation mode, on its device. Each thread has a copy of its own that shares the weights, since
            a module may keep what it has computed.
        batches: Functions that read a batch each.
        compute: Called with the model and a batch, by any thread; gives tensors on the model's device.

    Whoever leaves early closes the generator.
    """
    own = threading.local()
    on_device = nullcontext() if classifier.device.type == "cpu" else threading.Lock()

    def prepare() -> None:
        torch.set_num_threads(1)
        own.classifier = with_shared_weights(classifier)

    def read_and_compute(read: ReadBatch) -> tuple[ImageBatch, Results]:
        batch = read()
        with torch.inference_mode():
            with on_device:  # the memory of one batch at a time
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
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(torch.get_num_threads())  # also for threads that other code starts later


def with_shared_weights(classifier: Classifier) -> Classifier:
    """Return a copy whose parameters and buffers are those of the original."""
    tensors = chain(classifier.parameters(), classifier.buffers())
    return copy.deepcopy(classifier, {id(tensor): tensor for tensor in tensors})
