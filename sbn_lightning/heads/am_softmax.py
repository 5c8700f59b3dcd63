"""AM-Softmax: a softmax over scaled cosines with an additive margin."""

import torch
from torch import Tensor, nn

from .base import Head, plain_linear
from .cosine import scale_advice, scaled_cosine, unit


class AMSoftmaxHead(Head):
    """Cosines between features and class weights, times a scale; in training the true class is held back by a margin.

        z = scale * cos(x, w_c)
        L = -mean_n log softmax(z_n - scale * margin * onehot(y_n))[y_n]

    Neither the length of the features nor that of the weights matters. Evaluation has no margin; margin 0 is NormFace.
    Source: Wang et al. 2018, arXiv 1801.05599, where scale is called s and margin m; the same loss is called CosFace in
    arXiv 1801.09414.

    Args:
        scale: Multiplier of the cosines, > 0. The paper's settings are (scale, margin) = (7.5, 0.35) and (10, 0.5).
        margin: In cosine units, >= 0.
    """

    title = "AM-Softmax"
    class_tensors = ("linear.weight",)

    def __init__(self, num_features: int, num_classes: int, scale: float = 7.5, margin: float = 0.35) -> None:
        super().__init__(num_features, num_classes)
        check_scale_and_margin(scale, margin)
        self.scale = scale
        self.margin = margin
        self.linear = nn.Linear(num_features, num_classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C), in [-scale, scale]."""
        return scaled_cosine(features, self.linear.weight, self.scale)

    def with_margin(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """(N, C) -> (N, C): logits - scale * margin * onehot(labels)."""
        return subtract_margin(logits, labels, self.scale * self.margin)

    def embed(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, D), of length 1."""
        return unit(features.to(self.linear.weight.dtype))

    def as_linear(self) -> nn.Linear:
        """Rows scale * w_c / ‖w_c‖, no bias."""
        return plain_linear(self.scale * unit(self.linear.weight))

    @property
    def class_weight(self) -> Tensor:
        """W (C, D), before normalization."""
        return self.linear.weight

    def advice(self, class_counts: Tensor) -> list[str]:
        return scale_advice(self.scale, self.num_classes)


def subtract_margin(logits: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return logits - margin * onehot(labels), (N, C), with the margin in the logits' units."""
    return logits - torch.zeros_like(logits).scatter_(1, labels[:, None], margin)


def check_scale_and_margin(scale: float, margin: float) -> None:
    if not scale > 0:
        raise ValueError(f"scale must be positive, got {scale}")
    if not margin >= 0:
        raise ValueError(f"margin must not be negative, got {margin}: it would reward wrong classes")
