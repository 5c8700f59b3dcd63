"""Scaled batch normalization in whose statistics a rare class weighs as much as a frequent one."""

import torch
import torch.nn.functional as F
from torch import Tensor

from .all_devices import num_devices, sum_over_devices
from .base import float32_linear
from .scaled_batch_norm import ScaledBatchNormHead, check_batch_size
from .separated_loss import separation_advice


class BalancedMomentsHead(ScaledBatchNormHead):
    """Scaled batch normalization by mean and variance in which each class of the batch weighs the same.

        u[n, c] = scale * (z[n, c] - mean_c) / sqrt(var_c + eps),    z = W x,    L = -mean_n log softmax(u_n)[y_n]
        mean_c  = sum_n a_n z[n, c],    var_c = sum_n a_n (z[n, c] - mean_c)^2,    a_n = 1 / (K * N_{y_n})

    with K classes in the batch of all devices and N_k samples of class k. Where all N_k are equal, it is
    `ScaledBatchNormHead`. There, the more frequent a class is, the closer its own samples are to those of other
    classes; here, the distance is the same for all classes, so that `separated_loss` is that of equal frequencies. The
    loss remains the mean over the samples.

    The moments need labels, which `forward` never sees. So forward gives the logits of inference in training, too,
    normalized by the running estimates, and `loss` replaces that normalization by the batch's own. Measures and
    pictures of the training show the logits of inference, as they do with heads that have a margin.

    Args:
        scale: Standard deviation of the normalized logits where each class weighs the same, > 0.
        eps: Added to the variance, > 0.
        momentum: Weight of the newest batch in the running estimates, in (0, 1].
    """

    title = "SBN with balanced moments"

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C), by the running estimates."""
        logits = float32_linear(features, self.linear.weight)
        return (logits - self.norm.running_mean) * self.norm.factor()

    def loss(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """Mean cross-entropy; in training, of logits normalized by the batch's own moments; N >= 2 over all devices."""
        if self.training:
            logits = self._balanced(logits / self.norm.factor() + self.norm.running_mean, labels)
        return F.cross_entropy(logits, labels)

    def advice(self, class_counts: Tensor) -> list[str]:
        """The advice for classes of equal size."""
        return separation_advice((class_counts > 0).double(), float(self.norm.scale), "weight in the statistics")

    def _balanced(self, logits: Tensor, labels: Tensor) -> Tensor:
        """(N, C) before normalization -> (N, C), normalized; updates the running estimates."""
        if num_devices() == 1:
            check_batch_size(len(labels))
        self.norm.num_batches_tracked.add_(1)
        mean, variance, correction = balanced_moments(logits, labels)
        self.norm.update(mean, variance * correction)
        return self.norm.scale * (logits - mean) * (variance + self.norm.eps).rsqrt()


def balanced_moments(values: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(n, C), (n,) -> (C,), (C,), (): balanced mean and biased variance of the samples of all devices, with gradients,
    and the factor that makes the variance unbiased, 1 / (1 - sum_n a_n^2): N / (N - 1) for weights a_n = 1 / N.
    """
    num_classes = values.shape[1]
    counts = values.new_zeros(num_classes).index_add_(0, labels, values.new_ones(len(labels)))
    counts = sum_over_devices(counts)
    class_weights = torch.where(counts > 0, 1 / counts, 0) / (counts > 0).sum()
    weights = class_weights[labels][:, None]
    mean = sum_over_devices((weights * values).sum(dim=0))
    variance = sum_over_devices((weights * (values - mean).square()).sum(dim=0))
    return mean, variance, 1 / (1 - (counts * class_weights.square()).sum())
