"""LogitNorm: a softmax whose logits have one length for all samples, in training."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Head, float32_linear, plain_linear
from .cosine import CONFIDENT
from .settings import check_positive


class LogitNormHead(Head):
    """A linear layer; in training each sample's logits are brought to one length before the softmax.

        z = W x + b,    u = scale * z / (‖z‖ + eps),    L = -mean_n log softmax(u_n)[y_n]

    Scaled batch normalization normalizes each class over the samples; this head normalizes each sample over the
    classes. Here, too, longer logits do not lower the loss.

    As in the authors' code, inference takes z as it is, not u. The predicted class is the same, but the probabilities
    are not: training leaves the length of z free, and does not fit softmax(z) to the labels. A temperature should be
    fitted before the probabilities are used (`sbn evaluate` and `sbn export` do so). The losses of validation and test
    are also those of z, and cannot be compared with the loss of training. The gain: ‖z‖, which is smaller for images
    that are unlike those of the training, still shows in the probabilities.

    Source: Wei et al. 2022, arXiv 2205.09310, where 1 / scale is called the temperature tau.

    Args:
        scale: Length of a sample's logits in training, > 0. The paper's tau of 0.04 is a scale of 25.
        eps: Added to the length, > 0.
    """

    title = "LogitNorm"

    def __init__(self, num_features: int, num_classes: int, scale: float = 25.0, eps: float = 1e-7) -> None:
        super().__init__(num_features, num_classes)
        check_positive(scale=scale, eps=eps)
        self.scale = scale
        self.eps = eps
        self.linear = nn.Linear(num_features, num_classes)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C): z, not normalized."""
        return float32_linear(features, self.linear.weight, self.linear.bias)

    def loss(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """Mean cross-entropy, in training of the normalized logits."""
        if self.training:
            length = torch.linalg.vector_norm(logits, dim=1, keepdim=True)
            logits = self.scale * logits / (length + self.eps)
        return F.cross_entropy(logits, labels)

    def as_linear(self) -> nn.Linear:
        return plain_linear(self.linear.weight, self.linear.bias)

    @property
    def class_weight(self) -> Tensor:
        return self.linear.weight

    def advice(self, class_counts: Tensor) -> list[str]:
        """Name a larger scale where no logits of this length give the true class a probability of 0.9."""
        probability = largest_probability_of_length(self.scale, self.num_classes)
        if probability >= CONFIDENT:
            return []
        others = self.num_classes - 1
        enough = math.sqrt(others / self.num_classes) * math.log(others * CONFIDENT / (1 - CONFIDENT))
        return [
            f"Scale {self.scale:g} is small for {self.num_classes} classes: no logits of this length give the true "
            f"class a probability above {probability:.2g}. --model.head.scale {math.ceil(enough * 10) / 10:g} allows "
            f"{CONFIDENT:g}."
        ]


def largest_probability_of_length(scale: float, num_classes: int) -> float:
    """The largest probability that logits of length `scale` can give to a class.

        p = 1 / (1 + (C - 1) * exp(-scale * sqrt(C / (C - 1))))

    It is reached by the logits that point from the mean of all classes to the class, which are
    scale * (onehot - 1/C) * sqrt(C / (C - 1)).
    """
    return 1 / (1 + (num_classes - 1) * math.exp(-scale * math.sqrt(num_classes / (num_classes - 1))))
