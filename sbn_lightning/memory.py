"""What happens to a batch that does not fit into a GPU's memory."""

import warnings
from collections.abc import Callable

import torch
from torch import Tensor


class Halving:
    """Computes a function of each image of a batch, in parts that fit into the device's memory.

    A batch that does not fit is halved, until its parts fit; one line says so. Later batches keep to that size. The
    results of the parts, in order, are those of the batch, so what happens to an image must not depend on the others.

    Attributes:
        largest: Images in a part; None as long as every batch has fitted as a whole.
    """

    def __init__(self) -> None:
        self.largest: int | None = None

    def __call__(self, compute: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
        """Return compute(images), (N, …) -> (N, …).

        Raises:
            OutOfMemoryError: If not even one image fits.
        """
        before = self.largest
        while (results := self._try(compute, images)) is None:
            pass
        if self.largest != before:
            warnings.warn(
                f"{len(images):,} images do not fit into the memory of {images.device} at once; from here on they are "
                f"evaluated {self.largest:,} at a time, with the same results",
                stacklevel=2,
            )
        return results

    def _try(self, compute: Callable[[Tensor], Tensor], images: Tensor) -> Tensor | None:
        """Return what is asked for; or None, with smaller parts for the next try."""
        size = min(len(images), self.largest or len(images))
        try:
            return torch.cat([compute(part) for part in images.split(size)])
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            # Tried again by the caller: only after this clause are the failed try's tensors let go.
            self.largest = (size + 1) // 2
            return None
