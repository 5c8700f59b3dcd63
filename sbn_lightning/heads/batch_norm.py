"""Batch normalization of the logits with learned scale and shift, as it is used inside networks."""

import torch
from torch import Tensor, nn

from .base import plain_linear
from .scaled_batch_norm import ScaledBatchNormHead


class BatchNormHead(ScaledBatchNormHead):
    """Plain batch normalization of the logits: each class has a scale and a shift, and both are trained.

        u[n, c] = scale_c * (z[n, c] - mean_c) / sqrt(var_c + eps) + shift_c,    z = W x
        L = -mean_n log softmax(u_n)[y_n]

    It is nn.BatchNorm1d after a linear layer without bias; statistics are those of the batch of all devices. What it
    adds to `LearnedScaleHead`: a class can have a larger scale than others, and the shift can express how frequent the
    classes are. Source: Ioffe and Szegedy 2015, arXiv 1502.03167, where the scale is called gamma and the shift beta;
    eq. 4 in Zhu et al. 2020.

    Args:
        scale: What all scales start with, > 0; the shifts start with 0.
        eps: Added to the variance, > 0.
        momentum: Weight of the newest batch in the running estimates, in (0, 1].
    """

    title = "batch norm"
    class_tensors = (*ScaledBatchNormHead.class_tensors, "norm.scale", "shift")

    def __init__(
        self, num_features: int, num_classes: int, scale: float = 1.0, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__(num_features, num_classes, scale, eps, momentum)
        self.norm.scale = nn.Parameter(torch.full((num_classes,), float(scale)))
        self.shift = nn.Parameter(torch.zeros(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + self.shift

    def as_linear(self) -> nn.Linear:
        """W' = r W and b' = shift - r * running_mean, with r = scale / sqrt(running_var + eps)."""
        normalized = super().as_linear()
        return plain_linear(normalized.weight, normalized.bias + self.shift)

    def advice(self, class_counts: Tensor) -> list[str]:
        """No advice: a scale that is too small grows."""
        return []
