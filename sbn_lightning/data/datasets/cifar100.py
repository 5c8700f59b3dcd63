"""CIFAR-100 from its official binary files."""

import tarfile
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.download import download
from sbn_lightning.data.pack import Contents, NewStore
from sbn_lightning.errors import UsageError

URL = "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz"
MD5 = "03b5dce01913d631647c71ecec9e9cb8"
FOLDER = "cifar-100-binary"
FILES = ("train.bin", "test.bin", "fine_label_names.txt", "coarse_label_names.txt")

NUM_IMAGES = {"train": 50_000, "test": 10_000}
NUM_CLASSES = {"coarse": 20, "fine": 100}  # in the order of a record
RECORD_BYTES = 2 + 3 * 32 * 32  # coarse label, fine label, then the red, green and blue planes, row by row


def found_instead(root: Path) -> str:
    """What lies in a folder that does not hold the official one, and what to do; empty if it is nothing known."""
    if (root / FILES[0]).is_file():
        return f"{root / FILES[0]} shows that this is that folder itself: name the one above it with --data.root DIR"
    if (root / "cifar-100-python").is_dir() or (root / "meta").is_file():
        return f"there is the Python version, whose pickles are not read: unpack the binary version, {URL}, there"
    if (root / "cifar-100-binary.tar.gz").is_file():
        return f"unpack {root / 'cifar-100-binary.tar.gz'} there"
    return ""


class CIFAR100(ImageDataModule):
    """CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32 × 32 pixels in 100 classes.

    Reads the official binary files, `root/cifar-100-binary/{train,test}.bin`: no pickle is ever loaded.

    Args:
        labels: `fine`: 100 classes; `coarse`: their 20 superclasses.
        options: Those of ImageDataModule.
    """

    def __init__(self, *, labels: Literal["fine", "coarse"] = "fine", **options: Any) -> None:
        super().__init__(**options)
        self.labels = labels
        self.source = self.root / FOLDER  # the folder of the official files
        self.store_name = f"cifar100_{labels}"
        self.where_to_get_it = found_instead(self.root) or self.where_to_get_it

    @property
    def num_classes(self) -> int:
        return NUM_CLASSES[self.labels]

    def fingerprint(self) -> dict[str, Any] | None:
        if not self.source.is_dir():
            return None
        if missing := [name for name in FILES if not (self.source / name).is_file()]:
            raise UsageError(
                f"{self.source} lacks {', '.join(missing)}; it should hold the files of {URL}: add them, or remove the "
                "folder and pass --data.download true"
            )
        stats = {name: (self.source / name).stat() for name in FILES}
        return {name: [stat.st_size, stat.st_mtime_ns] for name, stat in stats.items()}

    def fetch(self) -> None:
        """Download the official archive, verify its MD5 and put its files under root."""
        self.root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".cifar100-", dir=self.root) as temporary:
            archive, folder = Path(temporary) / "archive.tar.gz", Path(temporary) / FOLDER
            download(URL, MD5, archive, f"download it elsewhere and unpack it in {self.root}")
            folder.mkdir()
            with tarfile.open(archive) as members:
                for name in FILES:  # by name: nothing else in the archive is written anywhere
                    member = members.extractfile(f"{FOLDER}/{name}")
                    assert member is not None, "it is a file in the archive of this MD5"
                    (folder / name).write_bytes(member.read())
            folder.rename(self.source)

    def decode(self, new: NewStore) -> Contents:
        names_file = self.source / f"{self.labels}_label_names.txt"
        class_names = names_file.read_text(errors="replace").split()
        if len(class_names) != self.num_classes:
            raise UsageError(
                f"{names_file} names {len(class_names)} classes, not {self.num_classes}: put the official file there"
            )
        records = np.concatenate([self._records("train"), self._records("test")])
        names = [f"{split}.bin/{number}" for split, count in NUM_IMAGES.items() for number in range(count)]
        new.put(names, records[:, 2:].reshape(-1, 3, 32, 32))
        labels = records[:, 1 if self.labels == "fine" else 0]
        train, test = np.split(np.arange(len(records)), [NUM_IMAGES["train"]])
        return Contents(class_names, labels, {"train": train, "test": test})

    def _records(self, split: str) -> np.ndarray:
        """The records of train.bin or test.bin, (N, RECORD_BYTES) uint8, memory-mapped."""
        file = self.source / f"{split}.bin"
        size, expected = file.stat().st_size, NUM_IMAGES[split] * RECORD_BYTES
        if size != expected:
            raise UsageError(f"{file} is damaged: it has {size:,} bytes, not {expected:,}; put the official file there")
        records = np.memmap(file, np.uint8, "r", shape=(NUM_IMAGES[split], RECORD_BYTES))
        for column, (kind, count) in enumerate(NUM_CLASSES.items()):
            if (largest := records[:, column].max()) >= count:
                raise UsageError(
                    f"{file} is damaged: it holds the {kind} label {largest}, but they end at {count - 1}; "
                    "put the official file there"
                )
        return records
