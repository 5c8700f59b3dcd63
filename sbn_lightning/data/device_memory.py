"""Packed images in the memory of the device that trains."""

import torch

from sbn_lightning.data.packing.store import Split
from sbn_lightning.errors import UsageError


def to_device(split: Split, device: torch.device) -> Split:
    """The split, copied to a device; on the CPU it stays memory-mapped.

    Raises:
        UsageError: If a GPU's free memory cannot hold it.
    """
    if device.type == "cuda":
        needed = sum(tensor.numel() * tensor.element_size() for tensor in (split.images, split.labels))
        check_room(needed, *torch.cuda.mem_get_info(device), str(device))
    return Split(split.images.to(device), split.labels.to(device))


def check_room(needed: int, free: int, total: int, device: str) -> None:
    """Refuse images that do not fit into a device's memory; all sizes in bytes.

    Raises:
        UsageError: If more is needed than is free.
    """
    if needed > free:
        raise UsageError(
            f"the packed images take {needed / 1e6:,.1f} MB, but {device} has {free / 1e6:,.1f} MB free of "
            f"{total / 1e6:,.1f} MB; leave them on the disk with --data.on_device false"
        )
