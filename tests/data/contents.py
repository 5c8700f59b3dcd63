"""What batches hold, whatever their order."""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from sbn_lightning.data import ImageDataModule
from sbn_lightning.data.loader import Batch

UNCHANGED = {"crop_padding": 0, "horizontal_flip": False}
"""Options that leave the images as they are."""


def content(batches: Iterable[Batch]) -> Counter[tuple[bytes, int]]:
    """Every image with its label, in no order."""
    return sum((content_of(batch.images.numpy(), batch.labels.numpy()) for batch in batches), Counter())


def content_of(images: np.ndarray, labels: np.ndarray) -> Counter[tuple[bytes, int]]:
    return Counter((image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True))


def received(data: ImageDataModule, batches: Iterable[Batch]) -> Tensor:
    """The images that the model gets."""
    return torch.cat([data.on_after_batch_transfer(batch, 0)[0] for batch in batches])
