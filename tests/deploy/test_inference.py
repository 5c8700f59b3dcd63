"""Threads let a model answer batch after batch: in order, with its weights, and few batches at a time."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from itertools import count

import pytest
import torch
from small_models import pixels, trained
from torch import Tensor

from sbn_lightning import Backbone, Classifier, SoftmaxHead
from sbn_lightning.data.pool import AHEAD
from sbn_lightning.deploy.images import ImageBatch, ReadBatch
from sbn_lightning.deploy.inference import computed, usual_batch_size, with_shared_weights


@pytest.fixture(autouse=True)
def four_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2, 3}, raising=False)


def batch_of(images: Tensor) -> ImageBatch:
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


def test_copy_of_a_thread_shares_the_weights() -> None:
    classifier = trained()
    copied = with_shared_weights(classifier)
    assert copied.backbone is not classifier.backbone
    own, original = (list(map(id, model.state_dict(keep_vars=True).values())) for model in (copied, classifier))
    assert own == original


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
    def fail() -> ImageBatch:
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


@pytest.mark.parametrize(("images", "size"), [(1, 1), (32, 2), (256, 16), (100_000, 16)])
def test_each_core_gets_several_batches(images: int, size: int) -> None:
    assert usual_batch_size(trained(), images) == size
