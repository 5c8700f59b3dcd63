"""What every backbone promises."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Backbone(nn.Module, ABC):
    """Turn images into features.

    A subclass sets `num_features` in its constructor and defines `forward`; that is all the classifier asks for.

    Attributes:
        num_features: D, the length of one image's feature vector.
    """

    num_features: int

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) float -> (N, D)."""
