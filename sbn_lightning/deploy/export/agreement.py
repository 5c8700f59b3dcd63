"""Whether an exported file answers as its checkpoint does, on real images."""

from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from sbn_lightning.classifier import Classifier
from sbn_lightning.deploy.export.fitted import Fitted
from sbn_lightning.deploy.export.formats.base import Answering
from sbn_lightning.deploy.export.photos import Photo, Photos
from sbn_lightning.errors import UsageError, counted

LARGEST = 1e-4
"""Difference of two probabilities that is taken for rounding."""
TIE = 1e-6
"""Difference of the two highest probabilities below which rounding decides which class comes first."""
FIRST_BATCHES = (1, 2)
"""Sizes of the first batches; those that follow are of:"""
BATCH = 64


class Resized(NamedTuple):
    """How much resizing inside the model differs from Pillow.

    Attributes:
        images: Their number.
        share: Of the pixels that differ, a fraction.
        levels: The largest difference of a pixel, of 255 levels.
        probability: The largest difference of a probability.
        other_classes: Number of images whose most probable class is another one.
    """

    images: int
    share: float
    levels: int
    probability: float
    other_classes: int


class Agreement(NamedTuple):
    """What the comparison found: the number of images, the largest difference of a probability, and of resizing."""

    images: int
    probability: float
    resized: Resized | None


@torch.inference_mode()
def agreement(
    exported: Answering, classifier: Classifier, temperature: float, photos: Photos, fitted: Fitted | None
) -> Agreement:
    """Compare the answers of an exported file with those of its checkpoint.

    Raises:
        UsageError: If the file finds another class than the checkpoint, a probability differs by more than rounding, or
            the checkpoint answers NaN.
    """
    largest, start, others = 0.0, 0, 0
    count = len(photos.pixels)
    sizes = iter(FIRST_BATCHES)
    while start < count:
        pixels = photos.pixels[start : start + next(sizes, BATCH)]
        expected, found = checkpoint_says(classifier, temperature, pixels), exported(pixels)["probabilities"]
        if bool(expected.isnan().any()):
            raise UsageError("the checkpoint answers NaN: its training went wrong; export an earlier one")
        largest = max(largest_difference(found, expected), largest)  # in this order, NaN remains
        others += other_classes(found, expected)
        start += len(pixels)
    if others or not largest <= LARGEST:
        raise UsageError(
            f"the exported file does not answer as the checkpoint does: of {counted(count, 'image')}, {others} are of "
            f"another class, and the largest difference of a probability is {largest:.2g}, above {LARGEST:g}; nothing "
            "was kept: try another --format, or another version of PyTorch"
        )
    resized = compared_sizes(exported, classifier, temperature, photos.originals, fitted) if fitted else None
    return Agreement(count, largest, resized)


def compared_sizes(
    exported: Answering, classifier: Classifier, temperature: float, photos: Iterable[Photo], fitted: Fitted
) -> Resized:
    """Compare the answers to images of any size with those of the checkpoint to the same images, resized by Pillow."""
    images, others, levels, probability, changed = 0, 0.0, 0, 0.0, 0
    for photo in photos:
        difference = (fitted(photo.original[None])[0].int() - photo.fitted.int()).abs()
        found = exported(photo.original[None])["probabilities"]
        expected = checkpoint_says(classifier, temperature, photo.fitted[None])
        images += 1
        others += (difference > 0).float().mean().item()
        levels = max(levels, int(difference.max()))
        probability = max(probability, largest_difference(found, expected))
        changed += other_classes(found, expected)
    return Resized(images, others / max(images, 1), levels, probability, changed)


def checkpoint_says(classifier: Classifier, temperature: float, pixels: Tensor) -> Tensor:
    """Return the checkpoint's probabilities (N, C) for pixels (N, 3, H, W)."""
    return (classifier(pixels.to(classifier.device)).float() / temperature).softmax(1).cpu()


def largest_difference(found: Tensor, expected: Tensor) -> float:
    """Return the largest difference of a probability; NaN if a probability is NaN."""
    return (found - expected).abs().max().item()


def other_classes(found: Tensor, expected: Tensor) -> int:
    """Return for how many images (N, C) the most probable class differs, except for ties."""
    given = expected.gather(1, found.argmax(1, keepdim=True)).squeeze(1)
    return int((given < expected.max(1).values - TIE).sum())
