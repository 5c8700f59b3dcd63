"""CIFAR-100 training batches per second, against torchvision's transforms in a PyTorch DataLoader."""

from collections.abc import Iterable, Iterator
from functools import partial

import numpy as np
import torchvision
from torch.utils.data import DataLoader, RandomSampler
from torchvision import transforms

from sbn_lightning.data import CIFAR100
from tests.benchmarks.cifar100_files import cifar100
from tests.benchmarks.comparison import Row, compare, timed

REPETITIONS = 7
BATCHES = 100  # of the other loader in one repetition; ours runs a whole epoch, the cost of its start included


class TorchvisionCIFAR100(torchvision.datasets.CIFAR100):
    """torchvision's dataset, its images given instead of read: all else, `__getitem__` above all, is its own."""

    def __init__(self, data: CIFAR100) -> None:
        loader = data.train_dataloader()
        self.data = np.array(loader.images).transpose((0, 2, 3, 1))
        self.targets = loader.labels.tolist()
        self.transform = transforms.Compose(
            [
                transforms.RandomCrop(32, padding=4),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize(mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)),
            ]
        )
        self.target_transform = None


def rows() -> Iterator[Row]:
    """A row for 0 worker processes, and one for 2."""
    with cifar100() as (data, images):
        loader = data.train_dataloader()

        def our_epoch() -> None:
            for batch in loader:
                data.on_after_batch_transfer(batch, 0)

        dataset = TorchvisionCIFAR100(data)
        for num_workers, wanted in ((0, 15), (2, 9)):
            their_loader = torch_loader(dataset, data.batch_size, num_workers)
            exhaust(their_loader)  # starts the workers
            ours = timed(our_epoch, len(loader))
            theirs = timed(partial(exhaust, their_loader), BATCHES)
            what = f"CIFAR-100 training batches ({images} images) against torchvision, {num_workers} workers"
            yield compare(ours, theirs, REPETITIONS).speed_row(what, f"at least {wanted}×")


def torch_loader(dataset: TorchvisionCIFAR100, batch_size: int, num_workers: int) -> DataLoader:
    """Goes over BATCHES random batches of the whole training set, other ones each time."""
    sampler = RandomSampler(dataset, num_samples=BATCHES * batch_size)
    return DataLoader(dataset, batch_size, sampler=sampler, num_workers=num_workers, persistent_workers=num_workers > 0)


def exhaust(iterable: Iterable[object]) -> None:
    """Take everything out."""
    for _ in iterable:
        pass
