"""Center loss: any head, and beside its loss the distance between a sample's features and its class's center."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .all_devices import sum_over_devices
from .base import Head
from .settings import check_at_least
from .softmax import SoftmaxHead


class CenterLossHead(Head):
    """Another head, whose loss gets a term that draws the features of a class together.

        L   = L_head + weight/2 * mean_n ‖x_n - c_{y_n}‖^2
        c_j = c_j - rate * sum_{n: y_n = j} (c_j - x_n) / (1 + N_j)

    The centers c_j are no parameters: after the loss of a batch has been computed, those of its classes move towards
    their samples by the second line, with N_j samples of class j on all devices. Logits and inference are the other
    head's.

    Source: Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition", eqs. 2 to 5, where
    weight is called lambda and rate alpha. There both terms are sums over the batch, here both are means: lambda means
    the same.

    Args:
        head: The other head, called as head(num_features, num_classes).
        weight: Multiplier of the distance term, >= 0.
        rate: How far a center moves, in [0, 1].
    """

    centers: Tensor

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        head: Callable[[int, int], Head] = SoftmaxHead,
        weight: float = 0.003,
        rate: float = 0.5,
    ) -> None:
        super().__init__(num_features, num_classes)
        check_at_least(0, weight=weight)
        if not 0 <= rate <= 1:
            raise ValueError(f"rate must be in [0, 1], got {rate}")
        self.head = head(num_features, num_classes)
        self.weight = weight
        self.rate = rate
        self.title = f"{self.head.title or type(self.head).__name__} + center loss"
        self.register_buffer("centers", torch.zeros(num_classes, num_features))

    def forward(self, features: Tensor) -> Tensor:
        logits: Tensor = self.head(features)
        return logits

    def loss(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """The head's own loss plus the distance term; in training the centers move afterwards."""
        features = features.to(self.centers.dtype)
        distance = (features - self.centers[labels]).square().sum(dim=1).mean()
        if self.training:
            self._move_centers(features.detach(), labels)
        return self.head.loss(logits, labels, features) + self.weight / 2 * distance

    def embed(self, features: Tensor) -> Tensor:
        return self.head.embed(features)

    def start_epoch(self, epoch: int) -> None:
        self.head.start_epoch(epoch)

    def as_linear(self) -> nn.Linear:
        return self.head.as_linear()

    @property
    def class_weight(self) -> Tensor:
        return self.head.class_weight

    def advice(self, class_counts: Tensor) -> list[str]:
        """The other head's, whose settings have longer names here."""
        return [text.replace("--model.head.", "--model.head.head.") for text in self.head.advice(class_counts)]

    @torch.no_grad()
    def _move_centers(self, features: Tensor, labels: Tensor) -> None:
        """In place, with the samples (n, D) and labels (n,) of all devices."""
        rows = torch.cat([features, features.new_ones(len(features), 1)], dim=1)  # the last column counts
        totals = features.new_zeros(self.num_classes, self.num_features + 1).index_add_(0, labels, rows)
        sums, counts = sum_over_devices(totals).split([self.num_features, 1], dim=1)
        self.centers.sub_((counts * self.centers - sums) * (self.rate / (1 + counts)))
