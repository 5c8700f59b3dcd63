"""What every backbone promises."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """Turn images into features.

    A subclass sets `num_features` in its constructor and defines `forward`; that is all the classifier asks for.

    Attributes:
        num_features: D, the length of one image's feature vector.
        min_image_size: The smallest height and width of images that it takes, pixels.
    """

    num_features: int
    min_image_size: int = 1

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) float -> (N, D)."""
