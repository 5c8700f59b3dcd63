"""Scaled batch normalization whose scale is trained."""

import torch
from torch import Tensor, nn

from .scaled_batch_norm import ScaledBatchNormHead


class LearnedScaleHead(ScaledBatchNormHead):
    """Scaled batch normalization with a trained scale, one number for all classes.

        u[n, c] = s * (z[n, c] - mean_c) / sqrt(var_c + eps),    z = W x,    L = -mean_n log softmax(u_n)[y_n]

    Once most samples are classified correctly, a larger s lowers the loss without better features, just as longer class
    weights do with softmax. Only weight decay limits its growth. Compare `ScaledBatchNormHead`, where s is fixed.

    Args:
        scale: What s starts with, > 0.
        eps: Added to the variance, > 0.
        momentum: Weight of the newest batch in the running estimates, in (0, 1].
    """

    title = "SBN with learned scale"

    def __init__(
        self, num_features: int, num_classes: int, scale: float = 0.9, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__(num_features, num_classes, scale, eps, momentum)
        self.norm.scale = nn.Parameter(torch.tensor(float(scale)))

    def advice(self, class_counts: Tensor) -> list[str]:
        """No advice: a scale that is too small grows."""
        return []
