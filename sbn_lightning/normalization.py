"""Normalization of the input, as a part of the model."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sbn_lightning.errors import UsageError
from sbn_lightning.run.identity import TrainedOn


class Normalization(nn.Module):
    """Turns pixels into what a network takes: (x − mean) / std, for each channel.

    Args:
        mean: Of each channel, in units of full scale (0 to 1).
        std: Standard deviation of each channel, likewise.

    Attributes:
        mean, std: (3, 1, 1) buffers, in levels from 0 to 255. A model in bfloat16 has them rounded to two or three
            digits, but computes with them in float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, mean: Sequence[float] = (0.0, 0.0, 0.0), std: Sequence[float] = (1.0, 1.0, 1.0)) -> None:
        super().__init__()
        self.register_buffer("mean", torch.empty(3, 1, 1))
        self.register_buffer("std", torch.empty(3, 1, 1))
        self.set(mean, std)

    def set(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Normalize with these from now on."""
        for buffer, values in ((self.mean, mean), (self.std, std)):
            buffer.copy_(255 * torch.tensor(values).view(3, 1, 1))
        self.std.clamp_(min=1)  # a channel of one level everywhere has no spread to divide by

    def forward(self, images: Tensor) -> Tensor:
        """Pixels (N, 3, H, W) uint8 -> (N, 3, H, W) float32, or float64 if the model is."""
        if images.dtype != torch.uint8:
            kind = str(images.dtype).removeprefix("torch.")
            raise UsageError(
                f"the images are numbers of type {kind}; the model takes pixels from 0 to 255 of type uint8, and "
                "normalizes them itself: for images from 0 to 1, give it (255 * images).round().to(torch.uint8)"
            )
        exact = torch.promote_types(self.mean.dtype, torch.float32)
        return (images - self.mean.to(exact)) / self.std.to(exact)


def add_normalization(state: dict[str, Tensor], data: TrainedOn) -> None:
    """Complete a classifier's weights from a checkpoint of an earlier version, whose data module normalized."""
    for name, buffer in Normalization(data.mean, data.std).state_dict(prefix="normalization.").items():
        state.setdefault(name, buffer)
