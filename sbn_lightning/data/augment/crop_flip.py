"""Random crops and flips of whole batches, each image with its own."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_lightning.errors import UsageError


class CropFlipDraws(NamedTuple):
    """The random numbers of one batch: (N, 2) top and left corner of each crop in the padded image, pixels; and (N,)
    whether the image is mirrored left to right."""

    offsets: Tensor
    flips: Tensor


class CropFlip:
    """Pad with zeros, cut out a window of the original size at a random place, mirror half of the images.

    The random numbers are drawn apart from the pixels, on the CPU and for a whole batch, so that they do not depend on
    the device or on how many processes share the batch.

    Args:
        padding: Zeros added on every side, pixels; 0 leaves the crop out.
        flip: Whether images are mirrored left to right, with probability 1/2.

    Raises:
        UsageError: If padding is negative.
    """

    def __init__(self, padding: int = 4, flip: bool = True) -> None:
        if padding < 0:
            raise UsageError(f"crop_padding is {padding}; it is a number of pixels and must be 0 or more")
        self.padding = padding
        self.flip = flip

    def __str__(self) -> str:
        return f"crop {self.padding}" + (", flip" if self.flip else "")

    def draw(self, num_images: int, generator: torch.Generator) -> CropFlipDraws:
        """The random numbers for a batch of num_images."""
        offsets = torch.randint(0, 2 * self.padding + 1, (num_images, 2), generator=generator)
        flips = torch.rand(num_images, generator=generator) < 0.5
        return CropFlipDraws(offsets, flips if self.flip else torch.zeros_like(flips))

    def __call__(self, images: Tensor, draws: CropFlipDraws) -> Tensor:
        """(N, 3, H, W) uint8 -> (N, 3, H, W) uint8, on the images' device."""
        n, channels, height, width = images.shape
        rows = draws.offsets[:, :1] + torch.arange(height, device=images.device)
        columns = draws.offsets[:, 1:] + torch.arange(width, device=images.device)
        columns = torch.where(draws.flips[:, None], columns.flip(1), columns)

        padded = F.pad(images, [self.padding] * 4)
        # One gather does both: pixel (y, x) of image i comes from (rows[i, y], columns[i, x]) of its padded image.
        source = rows[:, :, None] * padded.shape[3] + columns[:, None, :]
        source = source.view(n, 1, height * width).expand(n, channels, height * width)
        return padded.flatten(2).gather(2, source).view(n, channels, height, width)
