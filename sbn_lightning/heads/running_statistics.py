"""Scaled batch normalization by running estimates, for batches too small to have statistics of their own."""

import torch
from torch import Tensor

from .all_devices import batch_moments
from .scaled_batch_norm import ScaledBatchNorm, ScaledBatchNormHead


class RunningStatisticsHead(ScaledBatchNormHead):
    """Scaled batch normalization that takes the running estimates in training, too.

    See `RunningBatchNorm`. A batch may hold a single sample.

    Args:
        scale: Standard deviation of the normalized logits, > 0; see `ScaledBatchNormHead`.
        eps: Added to the variance, > 0.
        momentum: Weight of the newest batch in the running estimates, in (0, 1]. They describe about N / momentum
            samples, which should be several of each class.
    """

    title = "SBN with running statistics"

    def __init__(
        self, num_features: int, num_classes: int, scale: float = 0.9, eps: float = 1e-5, momentum: float = 0.02
    ) -> None:
        super().__init__(num_features, num_classes, scale, eps, momentum)
        self.norm = RunningBatchNorm(num_classes, scale, eps, momentum)


class RunningBatchNorm(ScaledBatchNorm):
    """Normalize each class's logit by the mean and variance of recent samples, including those of the batch.

        mean' = (1 - momentum) * mean + momentum * batch_mean
        var'  = (1 - momentum) * (var + momentum * (batch_mean - mean)^2) + momentum * batch_var
        u[n, c] = scale * (z[n, c] - mean'_c) / sqrt(var'_c + eps)

    These are the moments of a mixture: the samples so far, with weight 1 - momentum, and the batch. So one sample is
    enough, and evaluation does to a batch what training has just done. The estimates start with mean 0 and variance 1,
    which change nothing: the first steps are those of a softmax over scale * z, and in about 1 / momentum steps they
    become a normalization. (Estimates that start with the first batch's variance, near 0 for one sample, diverge.)

    The gradient is that of these equations, in which the earlier samples are constants: it flows through the batch's
    moments with weight momentum only. Unlike in `ScaledBatchNorm`, longer class weights therefore lower the loss, until
    the estimates follow. The weights grow, the faster the larger the learning rate is, and a learning rate that suits
    `ScaledBatchNorm` may be too large here (Ioffe and Szegedy 2015, section 2, describe it).
    """

    def forward(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C); N >= 1."""
        if not self.training:
            return super().forward(logits)
        logits = logits.to(self.running_mean.dtype)
        self.num_batches_tracked.add_(1)
        batch_mean, batch_variance, _ = batch_moments(logits)
        newest, shift = self.momentum, batch_mean - self.running_mean
        mean = self.running_mean + newest * shift
        variance = (1 - newest) * (self.running_var + newest * shift.square()) + newest * batch_variance
        with torch.no_grad():  # in place: DDP holds references
            self.running_mean.copy_(mean)
            self.running_var.copy_(variance)
        return (self.scale * (logits - mean) * (variance + self.eps).rsqrt()).to(logits.dtype)
