"""The handwritten digits that scikit-learn ships."""

from typing import Any

import numpy as np
import torch

from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.pack import Contents, NewStore
from sbn_lightning.data.splits import stratified_split


class Digits(ImageDataModule):
    """1,797 handwritten digits of 8 × 8 pixels, which come with scikit-learn: the test part of UCI's optdigits.

    A stratified fifth, always the same, is the test set: 1,437 training and 360 test images. Gray becomes three equal
    channels.

    Args:
        crop_padding: Pixels by which training images are padded before a random crop; 0 for no cropping.
        horizontal_flip: Whether half of the training images are mirrored; a mirrored 2 is not a digit.
        options: Those of ImageDataModule.
    """

    store_name = "digits"
    num_classes = 10

    def __init__(self, *, crop_padding: int = 1, horizontal_flip: bool = False, **options: Any) -> None:
        super().__init__(crop_padding=crop_padding, horizontal_flip=horizontal_flip, download=False, **options)

    def fingerprint(self) -> dict[str, Any]:
        return {"source": "sklearn.datasets.load_digits"}

    def decode(self, new: NewStore) -> Contents:
        from sklearn.datasets import load_digits  # a second of import time that only packing needs

        digits = load_digits()
        gray = np.round(digits.images * (255 / 16)).astype(np.uint8)  # 0 to 16 -> 0 to 255
        new.put([f"load_digits/{row}" for row in range(len(gray))], np.repeat(gray[:, None], 3, axis=1))
        class_names = [str(name) for name in digits.target_names]
        train, test = stratified_split(torch.from_numpy(digits.target), 0.2, class_names)
        return Contents(class_names, digits.target, {"train": train.numpy(), "test": test.numpy()})
