"""What tests of sbn_lightning.deploy share."""

from threading import Event

import torch

from sbn_lightning.deploy.images import ImageBatch, ImageSource


def all_of(source: ImageSource, batch_size: int) -> ImageBatch:
    """All batches of a source as one."""
    batches = [read(Event()) for read in source.batches(batch_size)]
    return ImageBatch(
        [name for batch in batches for name in batch.names],
        torch.cat([batch.images for batch in batches]),
        torch.cat([batch.labels for batch in batches]),
        [error for batch in batches for error in batch.errors],
    )
