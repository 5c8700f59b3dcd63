"""CIFAR-100 to measure with: the real images where they are at hand, else random ones, just as many and as large."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import numpy as np

from sbn_lightning.data import CIFAR100
from sbn_lightning.data.datasets.cifar100 import FOLDER, NUM_CLASSES, NUM_IMAGES, RECORD_BYTES


@contextmanager
def cifar100() -> Iterator[tuple[CIFAR100, str]]:
    """CIFAR-100, packed into a temporary folder and opened, and whether its images are "real" or "random".

    The real ones come from $SBN_CIFAR100_ROOT/cifar-100-binary, or data/cifar-100-binary if that is not set.
    """
    real = Path(os.environ.get("SBN_CIFAR100_ROOT", "data")) / FOLDER
    with tempfile.TemporaryDirectory(prefix="sbn-benchmark-") as root:
        if real.is_dir():
            (Path(root) / FOLDER).symlink_to(real.resolve())
        else:
            write_random_files(Path(root) / FOLDER)
        data = CIFAR100(root=root)
        with redirect_stdout(None):
            data.prepare_data()
        data.setup("fit")
        yield data, "real" if real.is_dir() else "random"


def write_random_files(folder: Path) -> None:
    """What the official archive holds, with random pixels and labels."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for split, count in NUM_IMAGES.items():
        records = generator.integers(0, 256, (count, RECORD_BYTES), np.uint8)
        records[:, 0] %= NUM_CLASSES["coarse"]
        records[:, 1] %= NUM_CLASSES["fine"]
        records.tofile(folder / f"{split}.bin")
    for kind, count in NUM_CLASSES.items():
        (folder / f"{kind}_label_names.txt").write_text("\n".join(f"class_{label}" for label in range(count)))
