"""Whole batches straight out of packed images, each taken out with one indexing operation where the images are: in the
computer's memory, or on the device that trains.

To Lightning these are loaders as any other: `sampler.set_epoch` starts an epoch; `state_dict` and `load_state_dict` let
a checkpoint continue in the middle of one.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sbn_lightning.data.augment.crop_flip import CropFlip, CropFlipDraws
from sbn_lightning.errors import UsageError

EVALUATED_AT_ONCE = 2**21
"""Pixels, or logits if there are more of them, that a GPU evaluates at a time: 2,048 images of 32×32. An evaluation
keeps nothing for a backward pass; the output of a layer of 64 channels takes 512 MB in float32."""


class Batch(NamedTuple):
    """What a loader hands over: pixels as stored; cropping, flipping and normalizing happen on the device.

    Attributes:
        images: (N, 3, H, W) uint8, 0 to 255.
        labels: (N,) int64.
        draws: The augmentation's random numbers, or None where images are not augmented.
    """

    images: Tensor
    labels: Tensor
    draws: CropFlipDraws | None


def keyed_generator(seed: int, *key: int) -> torch.Generator:
    """A generator whose stream depends on the seed and every part of the key, e.g. (epoch, batch)."""
    # As a spawn key, since numpy fills up a plain one with zeros: (seed, epoch) would be (seed, epoch, 0).
    sequence = np.random.SeedSequence(seed, spawn_key=key)
    return torch.Generator().manual_seed(int(sequence.generate_state(1, np.uint64)[0]))


class BatchLoader:
    """Training batches: every image once an epoch, in a new order each epoch.

    The order is keyed by (seed, epoch), augmentation by (seed, epoch, batch): equal seeds give equal batches, after any
    resume and for any number of processes. Each process takes its part of every batch; parts differ by at most one
    image.

    An epoch's last batch joins the one before if it holds a single image, or fewer images than there are processes:
    batch normalization needs two images, and no process may go without one.

    Args:
        images: (N, 3, H, W) uint8, on any device.
        labels: (N,) int64, on the same device.
        indices: (M,) which of the images to use; on the CPU.
        batch_size: Images in a batch, over all processes.
        augmentation: Draws the random numbers of each batch; None for none.
        seed: First part of every key, >= 0.
        rank: This process, from 0.
        world_size: Number of processes.
        same_order: Whether the order of the first epoch is that of all, for trainings that see its first batches only.

    Raises:
        UsageError: If batch_size is not a multiple of world_size, or there are too few images.
    """

    batch_sampler = None  # Lightning reads it when it predicts

    def __init__(
        self,
        images: Tensor,
        labels: Tensor,
        indices: Tensor,
        batch_size: int,
        augmentation: CropFlip | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
        same_order: bool = False,
    ) -> None:
        smallest = max(2, world_size)
        _check("batch_size", batch_size, world_size, "training", len(indices), smallest)
        self.images = images
        self.labels = labels
        self.indices = indices
        self.batch_size = batch_size
        self.augmentation = augmentation
        self.seed = seed
        self.rank = rank
        self.world_size = world_size
        self.same_order = same_order
        self._num_batches = len(indices) // batch_size + (len(indices) % batch_size >= smallest)
        self._epoch = 0
        self._next_batch = 0

    def __len__(self) -> int:
        return self._num_batches

    @property
    def last_batch_size(self) -> int:
        """Images in an epoch's last batch, over all processes."""
        return len(self.indices) - (len(self) - 1) * self.batch_size

    @property
    def has_smaller_last_batch(self) -> bool:
        """Whether an epoch's last batch holds fewer images than the others."""
        return self.last_batch_size < self.batch_size

    @property
    def sampler(self) -> "BatchLoader":
        """Itself: Lightning announces each epoch by `loader.sampler.set_epoch`."""
        return self

    def set_epoch(self, epoch: int) -> None:
        """Start an epoch from its first batch, unless it is the one that a loaded state continues."""
        if epoch != self._epoch:
            self._epoch, self._next_batch = epoch, 0

    def state_dict(self) -> dict[str, int]:
        """Where to continue, epoch and batch; and what a place in an epoch depends on."""
        epoch, next_batch = (self._epoch + 1, 0) if self._next_batch == len(self) else (self._epoch, self._next_batch)
        batches = {"batch_size": self.batch_size, "num_images": len(self.indices)}
        return {"epoch": epoch, "next_batch": next_batch} | batches

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue where state_dict was taken; runs that would continue with other data have been refused before."""
        same = state["batch_size"] == self.batch_size and state["num_images"] == len(self.indices)
        assert same or state["next_batch"] == 0, "an epoch cannot be continued with other batches"
        self._epoch, self._next_batch = state["epoch"], state["next_batch"]

    def __iter__(self) -> Iterator[Batch]:
        # A generator's body runs at its first `next`: after Lightning's set_epoch, which comes after its `iter`.
        generator = keyed_generator(self.seed, 0 if self.same_order else self._epoch)
        order = self.indices[torch.randperm(len(self.indices), generator=generator)]
        sizes = [self.batch_size] * (len(self) - 1) + [self.last_batch_size]
        # An epoch that ended is started again unless set_epoch names another one.
        first = self._next_batch % len(self)
        rows = self._to_device(order.split(sizes)[first:])
        draws = self._draws(sizes, first)
        for number, (mine, drawn) in enumerate(zip(rows, draws, strict=True), first):
            # Counted before the yield, since Lightning does not ask a loader of known length for one batch more.
            self._next_batch = number + 1
            yield Batch(self.images.index_select(0, mine), self.labels.index_select(0, mine), drawn)

    def _draws(self, sizes: list[int], first: int) -> Iterable[CropFlipDraws | None]:
        """This process's random numbers for each batch from the first one on."""
        if self.augmentation is None:
            return [None] * (len(sizes) - first)
        drawn = [
            self.augmentation.draw(size, keyed_generator(self.seed, self._epoch, number))
            for number, size in enumerate(sizes[first:], first)
        ]
        return map(type(drawn[0]), *(self._to_device(numbers) for numbers in zip(*drawn, strict=True)))

    def _to_device(self, batches: Sequence[Tensor]) -> Sequence[Tensor]:
        """This process's part of each batch, where the images are: all are copied there at once, since a copy in every
        step would take a GPU's host longer than taking out the images does."""
        parts = list(batches)
        if self.world_size > 1:
            parts = [batch.tensor_split(self.world_size)[self.rank] for batch in batches]
        return torch.cat(parts).to(self.images.device).split([len(part) for part in parts])


class EvaluationLoader:
    """Every image once, in order, not augmented; process r of k takes images r, r + k, r + 2k, … without padding.

    All processes have as many batches, as a head that is divided among them needs. Where one image more than another
    process has would be a batch by itself, it joins the batch before.

    Args: As BatchLoader's; batch_size is the data's evaluation_batch_size, or what was chosen in its place.

    Raises:
        UsageError: If batch_size is not a multiple of world_size, or there are fewer images than processes.
    """

    sampler = None
    batch_sampler = None

    def __init__(
        self, images: Tensor, labels: Tensor, indices: Tensor, batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        _check("evaluation_batch_size", batch_size, world_size, "evaluating", len(indices), world_size)
        self.images = images
        self.labels = labels
        self.indices = indices[rank::world_size].to(images.device)
        self.batch_size = batch_size // world_size
        self._num_batches = math.ceil(len(indices) // world_size / self.batch_size)

    def __len__(self) -> int:
        return self._num_batches

    def __iter__(self) -> Iterator[Batch]:
        sizes = [self.batch_size] * (len(self) - 1)
        for mine in self.indices.split([*sizes, len(self.indices) - sum(sizes)]):
            yield Batch(self.images.index_select(0, mine), self.labels.index_select(0, mine), None)


def size_for_gpus(batch_size: int, num_images: int, numbers: int, world_size: int) -> int:
    """Return how many images to evaluate at a time on GPUs, over all processes.

    A GPU is fastest with batches much larger than those of training, which also take the host fewer calls. They hold
    `EVALUATED_AT_ONCE` numbers on each GPU, or as many images as those of training if these are more. Up to half as
    many are taken if all batches are then equally large: a compiled backbone is compiled for each size.

    Args:
        batch_size: Images in a batch of training.
        num_images: Images of the evaluation.
        numbers: Pixels of an image, or its logits if there are more of them.
        world_size: Number of processes.
    """
    largest = max(batch_size, EVALUATED_AT_ONCE // numbers * world_size)
    sizes = range(largest, largest // 2, -world_size)
    return next((size for size in sizes if num_images % size == 0), largest)


def _check(setting: str, batch_size: int, world_size: int, use: str, num_images: int, needed: int) -> None:
    """Refuse batches that cannot be split evenly over the processes, and fewer images than are needed."""
    if batch_size < 1 or batch_size % world_size:
        raise UsageError(
            f"{setting} {batch_size} cannot be split evenly over {world_size} processes; "
            f"it counts the images on all of them together: use a multiple of {world_size}"
        )
    if num_images < needed:
        raise UsageError(f"{use} on {world_size} processes needs at least {needed} images, not {num_images}")
