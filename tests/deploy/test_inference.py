"""Threads let a model answer batch after batch: in order, with its weights, and few batches at a time."""

import os
import threading
import time
from collections.abc import Iterator
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import count, repeat
from pathlib import Path
from threading import Event

import pytest
import torch
from small_models import pixels, trained
from torch import Tensor, nn

from sbn_lightning import Backbone, Classifier, SmallCNN, SoftmaxHead
from sbn_lightning.data.pool import AHEAD
from sbn_lightning.deploy.images import ImageBatch, ReadBatch
from sbn_lightning.deploy.inference import computed, copies_of, usual_batch_size
from sbn_lightning.deploy.trained import Trained
from sbn_lightning.run.identity import TrainedOn
from sbn_lightning.run.records import Results


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)


def batch_of(images: Tensor, left: Event) -> ImageBatch:
    return ImageBatch([""] * len(images), images, torch.full((len(images),), -1), [""] * len(images))


def logits(classifier: Classifier, batch: ImageBatch) -> tuple[Tensor, ...]:
    return (classifier(batch.images),)


def test_answers_are_those_of_the_model_in_the_order_of_the_images() -> None:
    classifier, images = trained(), pixels(50)
    batches: list[ReadBatch] = [partial(batch_of, part) for part in images.split(3)]
    found = list(computed(classifier, batches, logits))
    assert torch.equal(torch.cat([batch.images for batch, _ in found]), images)
    with torch.inference_mode():
        expected = classifier(images)
    torch.testing.assert_close(torch.cat([own for _, (own,) in found]), expected, rtol=0, atol=1e-5)


class Forgetful(Backbone):
    """Keeps its images in itself, and uses them when the threads have had the time to meet."""

    num_features = 1

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.all_are_here = threading.Barrier(threads, timeout=20)

    def __deepcopy__(self, memo: object) -> "Forgetful":
        copied = Forgetful(1)
        copied.all_are_here = self.all_are_here
        return copied

    def forward(self, images: Tensor) -> Tensor:
        self.images = images
        self.all_are_here.wait()
        return self.images.mean((1, 2, 3))[:, None]


def test_threads_do_not_share_what_a_module_keeps() -> None:
    classifier = Classifier(Forgetful(4), SoftmaxHead, 2, mean=(0, 0, 0), std=(1, 1, 1)).eval()
    batches = [partial(batch_of, torch.full((1, 3, 2, 2), level, dtype=torch.uint8)) for level in range(8)]
    found = computed(classifier, batches, lambda own, batch: (own.backbone(batch.images.float()),))
    assert [level.item() for _, (level,) in found] == list(range(8))


def test_copies_share_the_parameters_alone() -> None:
    classifier = trained()
    for own in copies_of(classifier, 2):
        assert own.backbone is not classifier.backbone
        assert list(map(id, own.parameters())) == list(map(id, classifier.parameters()))
        assert {id(buffer) for buffer in own.buffers()}.isdisjoint(map(id, classifier.buffers()))


class WithHook(SoftmaxHead):
    """Its hook keeps something in the head that it was made for, and not in a copy of this."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.same, self.kept = nn.Identity(), torch.zeros(1, num_features)
        self.same.register_forward_hook(lambda module, features, output: setattr(self, "kept", output))

    def forward(self, features: Tensor) -> Tensor:
        self.same(features)
        time.sleep(0.001)  # long enough for another thread to come in between
        return super().forward(self.kept)


class WithLock(SoftmaxHead):
    """Cannot be copied."""

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.lock = threading.Lock()


@pytest.mark.parametrize("head", [WithHook, WithLock])
def test_model_that_cannot_be_copied_computes_one_batch_after_the_other(head: type[SoftmaxHead]) -> None:
    classifier, images = Classifier(SmallCNN(4), head, 3, mean=(0, 0, 0), std=(1, 1, 1)).eval(), pixels(50)
    assert copies_of(classifier, 4) == []
    found = computed(classifier, [partial(batch_of, part) for part in images.split(3)], logits)
    answers = torch.cat([own for _, (own,) in found])
    with torch.inference_mode():
        torch.testing.assert_close(answers, classifier(images), rtol=0, atol=1e-5)


def test_batch_that_is_being_read_is_not_waited_for() -> None:
    def read(left: Event) -> ImageBatch:
        if left.wait(0.01 if next(read_so_far) < 1 else 60):
            raise CancelledError
        return batch_of(pixels(2), left)

    read_so_far, started = count(), time.monotonic()
    with closing(computed(trained(), repeat(read, 100), logits)) as found:
        next(found)
    assert time.monotonic() - started < 30


def test_few_batches_are_read_ahead_and_threads_end_when_the_reader_leaves() -> None:
    read = count()

    def batches() -> Iterator[ReadBatch]:
        for _ in range(1000):
            next(read)
            yield partial(batch_of, pixels(1))

    before = set(threading.enumerate())
    with closing(computed(trained(), batches(), logits)) as found:
        for _ in range(5):
            next(found)
    assert next(read) <= AHEAD * 4 + 5
    assert set(threading.enumerate()) <= before


def test_error_in_a_thread_is_raised_and_pytorch_keeps_its_number_of_threads() -> None:
    def fail(left: Event) -> ImageBatch:
        raise OSError("the disk is gone")

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with pytest.raises(OSError, match="the disk is gone"):
            list(computed(trained(), [partial(batch_of, pixels(2)), fail], logits))
        assert torch.get_num_threads() == 3
        with ThreadPoolExecutor(1) as other:
            assert other.submit(lambda: torch.ones(9).sum() and torch.get_num_threads()).result() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("images", "side", "size"),
    [(1, 64, 1), (32, 64, 2), (512, 64, 32), (10**5, 64, 32), (10**5, 8, 64), (10**5, 224, 2)],
)
def test_each_core_gets_several_batches_of_few_pixels(images: int, side: int, size: int) -> None:
    data = TrainedOn([], (side, side), [], [], {}, "")
    assert usual_batch_size(Trained(trained(), data, Path(), None, Results()), images) == size
