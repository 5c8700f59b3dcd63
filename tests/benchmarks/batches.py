"""Training batches per second, against torchvision's datasets and transforms in a PyTorch DataLoader."""

import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import torchvision
from torch.utils.data import DataLoader, Dataset, RandomSampler
from torchvision import transforms

from sbn_lightning.data import CIFAR100, ImageDataModule, TinyImageNet
from sbn_lightning.normalization import Normalization
from tests.benchmarks.cifar100_files import cifar100
from tests.benchmarks.comparison import Row, compare, timed
from tests.benchmarks.tiny_imagenet_files import put_archive

REPETITIONS = 7
BATCHES = 100  # of the other loader in one repetition; ours runs a whole epoch, the cost of its start included


def torchvision_transforms(size: int) -> transforms.Compose:
    """The paper's augmentation, and normalization, as people write them."""
    return transforms.Compose(
        [
            transforms.RandomCrop(size, padding=4),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean=(0.5071, 0.4865, 0.4409), std=(0.2673, 0.2564, 0.2762)),
        ]
    )


class TorchvisionCIFAR100(torchvision.datasets.CIFAR100):
    """torchvision's dataset, its images given instead of read: all else, `__getitem__` above all, is its own."""

    def __init__(self, data: CIFAR100) -> None:
        loader = data.train_dataloader()
        self.data = loader.images[loader.indices].cpu().numpy().transpose((0, 2, 3, 1))
        self.targets = loader.labels[loader.indices].tolist()
        self.transform = torchvision_transforms(32)
        self.target_transform = None


def rows() -> Iterator[Row]:
    """CIFAR-100 beside torchvision with 0 worker processes and with 2, Tiny ImageNet beside ImageFolder with 2."""
    with cifar100() as (data, images):
        dataset = TorchvisionCIFAR100(data)
        for num_workers, wanted in ((0, 15), (2, 9)):
            what = f"CIFAR-100 training batches ({images} images) against torchvision, {num_workers} workers"
            yield row(what, data, dataset, num_workers, wanted)
    with tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as folder:
        images = put_archive(Path(folder))
        data = TinyImageNet(root=folder)
        with redirect_stdout(None):
            data.prepare_data()
        data.setup("fit")
        with zipfile.ZipFile(data.archive) as archive:
            archive.extractall(folder, [name for name in archive.namelist() if "/train/" in name])
        dataset = torchvision.datasets.ImageFolder(str(data.folder / "train"), torchvision_transforms(64))
        what = f"Tiny ImageNet training batches ({images} images) against torchvision's ImageFolder, 2 workers"
        yield row(what, data, dataset, num_workers=2, wanted=8)


def row(what: str, data: ImageDataModule, dataset: Dataset, num_workers: int, wanted: int) -> Row:
    """Our whole epochs beside BATCHES of theirs."""
    loader, normalize = data.train_dataloader(), normalization_of(data)

    def our_epoch() -> None:
        for batch in loader:
            normalize(data.on_after_batch_transfer(batch, 0)[0])

    their_loader = torch_loader(dataset, data.batch_size, num_workers)
    exhaust(their_loader)  # starts the workers
    ours, theirs = timed(our_epoch, len(loader)), timed(partial(exhaust, their_loader), BATCHES)
    return compare(ours, theirs, REPETITIONS).speed_row(what, f"at least {wanted}×")


def normalization_of(data: ImageDataModule) -> Normalization:
    """The normalization by the training images, as a classifier has it."""
    identity = data.identity()
    return Normalization(identity.mean, identity.std)


def torch_loader(dataset: Dataset, batch_size: int, num_workers: int) -> DataLoader:
    """Goes over BATCHES random batches of the whole training set, other ones each time."""
    sampler = RandomSampler(dataset, num_samples=BATCHES * batch_size)
    return DataLoader(dataset, batch_size, sampler=sampler, num_workers=num_workers, persistent_workers=num_workers > 0)


def exhaust(iterable: Iterable[object]) -> None:
    """Take everything out."""
    for _ in iterable:
        pass
