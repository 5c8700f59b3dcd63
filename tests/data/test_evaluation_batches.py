"""Which images an evaluation takes, and how many at a time."""

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from numbered_images import images_and_labels, numbers_of
from opened_data import Recorder, quiet_trainer, ready

from sbn_lightning.data import Digits
from sbn_lightning.data.loader import EvaluationLoader, size_for_gpus
from sbn_lightning.errors import UsageError


@pytest.mark.parametrize("world_size", [1, 2, 3])
@pytest.mark.parametrize("count", [3, 4, 5, 12, 37, 1001])
def test_evaluation_holds_every_image_once_and_in_order(count: int, world_size: int) -> None:
    size = 6 // world_size
    num_batches = math.ceil(count // world_size / size)  # of the last process, which has fewest images
    for rank in range(world_size):
        loader = EvaluationLoader(*images_and_labels(count), torch.arange(count), 6, rank, world_size)
        for _ in range(2):
            batches = [numbers_of(batch) for batch in loader]
            assert len(loader) == len(batches) == num_batches
            assert all(len(batch) == size for batch in batches[:-1])
            assert 1 <= len(batches[-1]) <= size + (world_size > 1)
            assert [number for batch in batches for number in batch] == list(range(rank, count, world_size))


@pytest.mark.parametrize(
    ("batch_size", "num_images", "numbers", "world_size", "size"),
    [
        (128, 10_000, 32 * 32, 1, 2000),  # five equal ones, of at most 2,048
        (128, 10_000, 32 * 32, 2, 2500),  # 1,250 on each of two GPUs
        (128, 10_000, 64 * 64, 1, 500),
        (128, 9_973, 32 * 32, 1, 2048),  # a prime number
        (128, 300, 32 * 32, 1, 2048),  # all at once
        (128, 10_000, 224 * 224, 1, 125),  # much larger than 128 is not faster
        (128, 10_000, 100_000, 1, 125),  # as many classes
    ],
)
def test_gpus_evaluate_many_images_at_once_in_equal_batches(
    batch_size: int, num_images: int, numbers: int, world_size: int, size: int
) -> None:
    assert size_for_gpus(batch_size, num_images, numbers, world_size) == size


def sizes(data: Digits, device: str, **limits: float) -> dict[str, int]:
    """The batch sizes for each stage, as a trainer on a device asks for them."""
    all_limits = {f"limit_{stage}_batches": 1.0 for stage in ("val", "test", "predict")} | limits
    strategy = SimpleNamespace(root_device=torch.device(device))
    data.trainer = SimpleNamespace(
        global_rank=0, world_size=1, strategy=strategy, state=SimpleNamespace(fn="fit"), **all_limits
    )
    loaders = {"val": data.val_dataloader(), "test": data.test_dataloader(), "predict": data.predict_dataloader()}
    return {stage: loader.batch_size for stage, loader in loaders.items()}


def test_a_size_of_its_own_holds_for_every_evaluation_and_not_for_training(digits_root: Path) -> None:
    recorder, trainer = Recorder(), quiet_trainer(max_epochs=1, limit_test_batches=2)
    data = Digits(root=str(digits_root), batch_size=500, evaluation_batch_size=150)
    trainer.fit(recorder, datamodule=data)
    trainer.test(recorder, datamodule=data, verbose=False)
    seen: dict[str, list[int]] = {}
    for stage, images, _ in recorder.batches:
        seen.setdefault(stage, []).append(len(images))
    assert seen == {"train": [500, 500, 437], "val": [150, 150, 60], "test": [150, 150]}


def test_chosen_batches_are_larger_on_a_gpu_unless_a_limit_counts_them(digits_root: Path) -> None:
    data = ready(Digits(root=str(digits_root), batch_size=64))
    assert sizes(data, "cpu") == {"val": 64, "test": 64, "predict": 64}
    all_at_once = sizes(data, "cuda")
    assert min(all_at_once.values()) >= data.num_images["test"] == 360
    limited: dict[str, Any] = {"limit_val_batches": 1, "limit_test_batches": 0.5}
    assert sizes(data, "cuda", **limited) == {"val": 64, "test": 64, "predict": all_at_once["predict"]}


def test_size_below_one_is_refused() -> None:
    with pytest.raises(UsageError, match="evaluation_batch_size is 0; a batch holds 1 image or more"):
        Digits(evaluation_batch_size=0)
