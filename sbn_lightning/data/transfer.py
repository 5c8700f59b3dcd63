"""What happens to images on the device that trains: they are copied there, augmented and normalized."""

import torch
from torch import Tensor

from sbn_lightning.data.augment.crop_flip import CropFlip, CropFlipDraws
from sbn_lightning.errors import UsageError


def transformed(
    augmentation: CropFlip | None, images: Tensor, draws: CropFlipDraws | None, mean: Tensor, std: Tensor
) -> Tensor:
    """Return images (N, 3, H, W) uint8 augmented, where there are random numbers for it, and normalized."""
    if draws is not None and augmentation is not None:
        images = augmentation(images, draws)
    return (images - mean) / std


def to_device(images: Tensor, labels: Tensor, device: torch.device) -> tuple[Tensor, Tensor]:
    """Copy packed images and their labels to a device; on the CPU they stay memory-mapped. A UsageError says if they do
    not fit into the free memory of a GPU."""
    if device.type == "cuda":
        needed = images.nbytes + labels.nbytes
        free, total = torch.cuda.mem_get_info(device)
        if needed > free:
            raise UsageError(
                f"the packed images take {needed / 1e6:,.1f} MB, but {device} has {free / 1e6:,.1f} MB free of "
                f"{total / 1e6:,.1f} MB; leave them on the disk with --data.on_device false"
            )
    return images.to(device), labels.to(device)
