"""Packed images are copied to the device that trains."""

import torch
from torch import Tensor

from sbn_lightning.errors import UsageError


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
