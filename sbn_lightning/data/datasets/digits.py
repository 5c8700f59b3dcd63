"""The handwritten digits that scikit-learn ships."""

from typing import Any

import numpy as np
import torch

from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.packing.store import Decoded
from sbn_lightning.data.splits import stratified_split


class Digits(ImageDataModule):
    """1,797 handwritten digits of 8 × 8 pixels (the test part of UCI's optdigits), bundled with scikit-learn: no
    download.

    A stratified fifth, always the same, is the test set: 1,437 training and 360 test images. Gray becomes three equal
    channels. Digits are not mirrored: a mirrored 2 is no digit.

    Args: As ImageDataModule's.
    """

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 128,
        validation_fraction: float = 0.0,
        test_each_epoch: bool = True,
        crop_padding: int = 1,
        horizontal_flip: bool = False,
        packed_dir: str | None = None,
        on_device: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__(
            root,
            batch_size,
            validation_fraction,
            test_each_epoch,
            crop_padding,
            horizontal_flip,
            download=False,
            packed_dir=packed_dir,
            on_device=on_device,
            seed=seed,
        )

    @property
    def store_name(self) -> str:
        return "digits"

    @property
    def num_classes(self) -> int:
        return 10

    def fingerprint(self) -> dict[str, Any]:
        return {"source": "sklearn.datasets.load_digits"}

    def decode(self) -> tuple[list[str], dict[str, Decoded]]:
        from sklearn.datasets import load_digits  # a second of import time that only packing needs

        digits = load_digits()
        gray = np.round(digits.images * (255 / 16)).astype(np.uint8)  # 0 to 16 -> 0 to 255
        images = np.repeat(gray[:, None], 3, axis=1)
        train, test = stratified_split(torch.from_numpy(digits.target), 0.2)
        splits = {
            name: Decoded(len(rows), (8, 8), [(images[rows], digits.target[rows])])
            for name, rows in (("train", train.numpy()), ("test", test.numpy()))
        }
        return [str(digit) for digit in digits.target_names], splits
