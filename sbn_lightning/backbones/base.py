"""What every backbone promises."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from torch import Tensor, nn

_is_rebuilt: ContextVar[bool] = ContextVar("is_rebuilt", default=False)


@contextmanager
def rebuilt() -> Iterator[None]:
    """Build backbones for a checkpoint's weights, which replace pretrained ones: these are neither read nor fetched."""
    token = _is_rebuilt.set(True)
    try:
        yield
    finally:
        _is_rebuilt.reset(token)


def needs_pretrained() -> bool:
    """Whether a backbone that is built now has to start from pretrained weights, where it is asked to."""
    return not _is_rebuilt.get()


class Backbone(nn.Module, ABC):
    """Turn images into features.

    A subclass sets `num_features` in its constructor and defines `forward`; that is all the classifier asks for.

    Attributes:
        num_features: D, the length of one image's feature vector.
        min_image_size: The smallest height and width of images that it takes, pixels.
        normalization: Mean and standard deviation of each channel, in units of full scale, that its pretrained weights
            were trained with; None if it has no pretrained weights.
    """

    num_features: int
    min_image_size: int = 1
    normalization: tuple[Sequence[float], Sequence[float]] | None = None

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Normalized images (N, 3, H, W) float -> (N, D)."""
