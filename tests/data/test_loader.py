"""Order, shares and continuation of the batches."""

import itertools
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from numbered_images import images_and_labels, numbers_of
from opened_data import Recorder, quiet_trainer
from torch import Tensor

from sbn_lightning.data import CropFlip, Digits
from sbn_lightning.data.loader import Batch, BatchLoader, EvaluationLoader, keyed_generator
from sbn_lightning.errors import UsageError


def training_loader(count: int, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> BatchLoader:
    indices = torch.arange(count)
    return BatchLoader(*images_and_labels(count), indices, batch_size, CropFlip(), seed, rank, world_size)


def same(first: Batch, second: Batch) -> bool:
    assert first.draws is not None
    assert second.draws is not None
    pairs = zip((*first[:2], *first.draws), (*second[:2], *second.draws), strict=True)
    return all(torch.equal(mine, other) for mine, other in pairs)


def same_batches(first: list[Batch], second: list[Batch]) -> bool:
    return len(first) == len(second) and all(same(*pair) for pair in zip(first, second, strict=True))


# Order.


def test_overfitting_sees_the_same_images_in_each_epoch(digits_root: Path) -> None:
    data = Digits(root=str(digits_root))
    data.prepare_data()
    data.setup("fit")
    for overfit_batches, is_same in ((1, True), (0.0, False)):
        data.trainer = SimpleNamespace(overfit_batches=overfit_batches, global_rank=0, world_size=1)
        loader = data.train_dataloader()
        first = next(iter(loader))
        loader.set_epoch(1)
        assert torch.equal(first.images, next(iter(loader)).images) == is_same


@pytest.mark.parametrize(("count", "batch_size"), [(100, 10), (103, 10), (101, 10), (7, 10), (2, 2), (70_001, 5000)])
def test_every_image_comes_exactly_once_an_epoch(count: int, batch_size: int) -> None:
    loader = training_loader(count, batch_size)
    for epoch in range(2):
        loader.set_epoch(epoch)
        numbers = [number for batch in loader for number in numbers_of(batch)]
        assert sorted(numbers) == list(range(count))


@pytest.mark.parametrize("loader", [BatchLoader, EvaluationLoader])
def test_only_the_given_indices_are_used(loader: Any) -> None:
    indices = torch.tensor([3, 8, 20, 21, 39])
    batches = list(loader(*images_and_labels(40), indices, batch_size=2))
    assert sorted(number for batch in batches for number in numbers_of(batch)) == indices.tolist()
    assert all(batch.draws is None for batch in batches)  # without augmentation


def test_order_and_augmentation_are_decided_by_seed_and_epoch() -> None:
    orders, draws = set(), set()
    for seed, epoch in itertools.product(range(3), range(3)):
        loader, again = training_loader(100, 10, seed), training_loader(100, 10, seed)
        loader.set_epoch(epoch)
        again.set_epoch(epoch)
        batches = list(loader)
        assert same_batches(batches, list(again))
        orders.add(tuple(number for batch in batches for number in numbers_of(batch)))
        draws |= {tuple(batch.draws.offsets.flatten().tolist()) for batch in batches if batch.draws is not None}
    assert (len(orders), len(draws)) == (3 * 3, 3 * 3 * 10)


def test_order_and_augmentation_use_different_random_numbers() -> None:
    keys = [(2,), (2, 0), (2, 0, 0), (0,), (0, 2), (0, 2, 0), (2**32, 0), (0, 1), (2**32,), (2**32 + 5, 0), (5, 1)]
    assert len({keyed_generator(*key).initial_seed() for key in keys}) == len(keys)


def test_no_random_numbers_of_others_are_used_or_needed() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first = list(training_loader(50, 10))
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(6)
    assert same_batches(list(training_loader(50, 10)), first)


# Several processes.


@pytest.mark.parametrize("world_size", [2, 3])
@pytest.mark.parametrize("count", [54, 55, 57, 58, 59])  # 3 · 18 and 0 to 5 more; 3 processes merge 2, one does not
def test_parts_of_all_processes_are_the_batch_of_one_process(world_size: int, count: int) -> None:
    whole = training_loader(count, batch_size=18)
    parts = [training_loader(count, 18, rank=rank, world_size=world_size) for rank in range(world_size)]
    for epoch in range(2):
        for loader in (whole, *parts):
            loader.set_epoch(epoch)
        for batch, *shares in zip(whole, *parts, strict=True):
            lengths = [len(share.labels) for share in shares]
            assert max(lengths) - min(lengths) <= 1
            assert min(lengths) >= 1
            images, labels = (torch.cat([share[part] for share in shares]) for part in range(2))
            assert torch.equal(images, batch.images)
            assert torch.equal(labels, batch.labels)
            for part in range(2):
                drawn = torch.cat([share.draws[part] for share in shares if share.draws is not None])
                assert batch.draws is not None
                assert torch.equal(drawn, batch.draws[part])


SIZES = [
    *[(20, 5, 1, [5, 5, 5, 5]), (19, 5, 1, [5, 5, 5, 4]), (17, 5, 1, [5, 5, 5, 2]), (3, 5, 1, [3]), (6, 5, 1, [6])],
    (16, 5, 1, [5, 5, 6]),  # one image is no batch
    *[(20, 6, 2, [6, 6, 6, 2]), (19, 6, 2, [6, 6, 7]), (21, 6, 3, [6, 6, 6, 3])],
    *[(20, 6, 3, [6, 6, 8]), (19, 6, 3, [6, 6, 7])],  # one or two images are not enough for three processes
    *[(3, 6, 3, [3]), (8, 6, 3, [8]), (208, 128, 2, [128, 80]), (209, 128, 2, [128, 81])],
]


@pytest.mark.parametrize(("count", "batch_size", "world_size", "sizes"), SIZES)
def test_too_small_a_last_batch_joins_the_one_before(
    count: int, batch_size: int, world_size: int, sizes: list[int]
) -> None:
    loaders = [training_loader(count, batch_size, rank=rank, world_size=world_size) for rank in range(world_size)]
    epochs = [list(loader) for loader in loaders]
    assert [sum(len(part.labels) for part in parts) for parts in zip(*epochs, strict=True)] == sizes
    assert all(len(part.labels) >= 1 for parts in epochs for part in parts)
    assert [len(loader) for loader in loaders] == [len(sizes)] * world_size
    assert [loader.last_batch_size for loader in loaders] == [sizes[-1]] * world_size


# Continuing.


def test_continues_in_the_middle_of_an_epoch_with_the_batches_that_were_left() -> None:
    for taken in range(1, 6):
        loader = training_loader(53, 10, seed=4)  # 6 batches
        loader.set_epoch(2)
        batches = iter(loader)
        for _ in range(taken):
            next(batches)
        state = loader.state_dict()
        left = list(batches)
        assert len(left) == 6 - taken

        resumed = training_loader(53, 10, seed=4)
        resumed.load_state_dict(state)
        iterator = iter(resumed)
        resumed.set_epoch(2)  # as Lightning does: after `iter`, before the first `next`
        assert same_batches(list(iterator), left)
        resumed.set_epoch(3)
        loader.set_epoch(3)
        assert same_batches(list(resumed), list(loader))


@pytest.mark.parametrize("exhausted", [False, True])
def test_saved_at_the_end_of_an_epoch_continues_with_the_first_batch_of_the_next(exhausted: bool) -> None:
    loader = training_loader(53, 10)
    loader.set_epoch(2)
    batches = iter(loader)
    for _ in range(len(loader)):
        next(batches)
    assert not exhausted or next(batches, None) is None

    resumed = training_loader(53, 10)
    resumed.load_state_dict(loader.state_dict())
    without_announcement = list(resumed)
    resumed.set_epoch(3)
    loader.set_epoch(3)
    expected = list(loader)
    assert same_batches(without_announcement, expected)
    assert same_batches(list(resumed), expected)


@pytest.mark.parametrize(("count", "batch_size"), [(53, 5), (52, 10)])
def test_an_epoch_is_not_continued_with_other_batches(count: int, batch_size: int) -> None:
    loader = training_loader(53, 10)
    batches = iter(loader)
    next(batches)
    state = loader.state_dict()
    next(batches)
    assert state == {"epoch": 0, "next_batch": 1, "batch_size": 10, "num_images": 53}  # does not follow the loader
    with pytest.raises(AssertionError, match="other batches"):
        training_loader(count, batch_size).load_state_dict(state)


def test_the_epoch_that_is_running_is_not_rewound() -> None:
    loader = training_loader(53, 10)
    loader.set_epoch(1)
    first, second, *_ = list(loader)
    batches = iter(loader)
    assert same(next(batches), first)
    loader.set_epoch(1)
    assert same(next(batches), second)
    loader.set_epoch(1)
    assert len(list(iter(loader))) == 4


def test_epochs_follow_each_other_though_none_is_exhausted() -> None:
    loader = training_loader(53, 10)
    for epoch, taken in enumerate((6, 6, 1, 6)):  # Lightning does not ask for one batch more than there are
        batches, fresh = iter(loader), training_loader(53, 10)
        loader.set_epoch(epoch)
        fresh.set_epoch(epoch)
        assert same_batches([next(batches) for _ in range(taken)], list(fresh)[:taken])
    loader.set_epoch(4)
    first = [batch for batch, _ in zip(loader, range(6), strict=False)]
    assert same_batches(list(loader), first)  # started again where no other is announced


def fit(root: Path, ckpt_path: Path | None = None, **settings: Any) -> list[tuple[str, Tensor, Tensor]]:
    """Train for 3 epochs of 3 batches; gives the images and labels of every step, augmented."""
    recorder = Recorder()
    data = Digits(root=str(root), batch_size=500, test_each_epoch=False)
    quiet_trainer(max_epochs=3, **settings).fit(recorder, datamodule=data, ckpt_path=ckpt_path)
    return recorder.batches


@pytest.mark.filterwarnings("ignore:Be aware.*ModelCheckpoint")  # the resumed runs write no checkpoints
@pytest.mark.filterwarnings("ignore:Total length of `list` across ranks is zero")  # nothing is watched
def test_resumed_training_sees_exactly_the_batches_that_were_left(tmp_path: Path) -> None:
    checkpoints = tmp_path / "checkpoints"
    each_step = ModelCheckpoint(checkpoints, "{step}", every_n_train_steps=1, save_top_k=-1)
    whole = fit(tmp_path, callbacks=[each_step], enable_checkpointing=True)
    assert len(whole) == len({images.numpy().tobytes() for _, images, _ in whole}) == 9
    for done in (1, 3, 4, 6, 8):  # 3 and 6: the last batch of an epoch
        left = fit(tmp_path, checkpoints / f"step={done}.ckpt")
        for (_, *batch), (_, *expected) in zip(left, whole[done:], strict=True):
            assert all(torch.equal(*pair) for pair in zip(batch, expected, strict=True))


# Errors.


@pytest.mark.parametrize("loader", [BatchLoader, EvaluationLoader])
@pytest.mark.parametrize(("batch_size", "world_size"), [(128, 3), (2, 4), (0, 1), (-2, 2)])
def test_batch_size_not_divisible_by_the_processes_is_refused(loader: Any, batch_size: int, world_size: int) -> None:
    with pytest.raises(UsageError, match=f"batch_size {batch_size} .* {world_size} processes.* of {world_size}"):
        loader(*images_and_labels(500), torch.arange(500), batch_size, rank=0, world_size=world_size)


TOO_FEW = [(BatchLoader, "training", *row) for row in ((0, 1, 2), (1, 1, 2), (1, 2, 2), (3, 4, 4))]
TOO_FEW += [(EvaluationLoader, "evaluating", *row) for row in ((0, 1, 1), (1, 2, 2), (3, 4, 4))]


@pytest.mark.parametrize(("loader", "use", "count", "world_size", "needed"), TOO_FEW)
def test_too_few_images_are_refused(loader: Any, use: str, count: int, world_size: int, needed: int) -> None:
    with pytest.raises(UsageError, match=rf"{use} on {world_size} processes needs at least {needed} .*, not {count}"):
        loader(*images_and_labels(count), torch.arange(count), 8, rank=0, world_size=world_size)
