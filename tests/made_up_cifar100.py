"""A small CIFAR-100 in the official layout: random pixels, a channel brighter than the one before."""

from pathlib import Path

import numpy as np
import pytest

from sbn_lightning.data.datasets import cifar100

NUM_IMAGES = {"train": 1000, "test": 200}
FINE_NAMES = [f"fine_{label}" for label in range(100)]
COARSE_NAMES = [f"coarse_{label}" for label in range(20)]


def put_cifar100(root: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Write the official files under root, as many images of every class; they are all of CIFAR-100 during the test.

    Returns:
        The records (N, 3074) of each split: coarse label, fine label, red, green and blue plane.
    """
    monkeypatch.setattr(cifar100, "NUM_IMAGES", NUM_IMAGES)
    folder = root / "cifar-100-binary"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    records = {}
    for split, count in NUM_IMAGES.items():
        fine = generator.permutation(np.arange(count) % 100)
        pixels = generator.integers(0, 90, (count, 3, 1024)) + 40 * np.arange(3)[:, None]
        records[split] = np.column_stack([fine // 5, fine, pixels.reshape(count, -1)]).astype(np.uint8)
        records[split].tofile(folder / f"{split}.bin")
    (folder / "fine_label_names.txt").write_text("\n".join(FINE_NAMES) + "\n")
    (folder / "coarse_label_names.txt").write_text("\n".join(COARSE_NAMES) + "\n")
    return records
