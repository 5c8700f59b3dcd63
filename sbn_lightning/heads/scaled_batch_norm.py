"""The paper's method: batch normalization of the logits, times a fixed scale."""

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .all_devices import batch_moments, num_devices
from .base import Head, float32_linear, plain_linear
from .separated_loss import separation_advice
from .settings import check_positive


class ScaledBatchNorm(nn.Module):
    """Normalize each class's logit over the batch, then multiply by a fixed scale.

        u[n, c] = scale * (z[n, c] - mean_c) / sqrt(var_c + eps)

    Training takes mean and biased variance from the whole batch, over all devices, and moves the running estimates
    towards them (towards the unbiased variance, as nn.BatchNorm1d does); evaluation takes the running estimates. The
    precision is that of the running estimates, also under autocast: float32, unless the module was converted.
    Source: Zhu et al. 2020, eq. 9, where scale is called m.

    Not a subclass of nn.BatchNorm1d: Lightning's `sync_batchnorm` would replace it by nn.SyncBatchNorm, without scale.

    Args:
        num_classes: C.
        scale: Standard deviation of the normalized logits, > 0. The attribute may become a parameter or a buffer.
        eps: Added to the variance, > 0.
        momentum: Weight of the newest batch in the running estimates, in (0, 1].

    Raises:
        ValueError: If a setting is outside its range, or a training batch holds one sample.
    """

    scale: float | Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, num_classes: int, scale: float = 1.0, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        check_positive(scale=scale, eps=eps)
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum must be in (0, 1], got {momentum}")
        self.num_classes = num_classes
        self.scale = scale
        self.eps = eps
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(num_classes))
        self.register_buffer("running_var", torch.ones(num_classes))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, logits: Tensor) -> Tensor:
        """(N, C) -> (N, C); N >= 2 in training, counted over all devices, each of which holds at least one sample."""
        logits = logits.to(self.running_mean.dtype)
        if not self.training:
            return self.scale * F.batch_norm(logits, self.running_mean, self.running_var, eps=self.eps)
        self.num_batches_tracked.add_(1)
        if num_devices() > 1:
            return self.scale * self._normalize_over_devices(logits)
        check_batch_size(logits.shape[0])
        return self.scale * F.batch_norm(  # the fused form of the method below, which also updates the estimates
            logits, self.running_mean, self.running_var, training=True, momentum=self.momentum, eps=self.eps
        )

    def _normalize_over_devices(self, logits: Tensor) -> Tensor:
        """This device's rows of the normalized batch of all devices; updates the running estimates."""
        mean, variance, count = batch_moments(logits)
        self.update(mean, variance * (count / (count - 1)))
        return ((logits - mean) * (variance + self.eps).rsqrt()).to(logits.dtype)

    @torch.no_grad()
    def update(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running estimates towards a batch's mean and unbiased variance (C,)."""
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)  # in place: DDP holds references
        self.running_var.lerp_(variance.to(self.running_var.dtype), self.momentum)

    def factor(self) -> Tensor:
        """What evaluation multiplies each class by: scale / sqrt(running_var + eps), (C,)."""
        return self.scale * (self.running_var + self.eps).rsqrt()

    def extra_repr(self) -> str:
        scale = "tensor" if isinstance(self.scale, Tensor) else self.scale
        return f"{self.num_classes}, scale={scale}, eps={self.eps}, momentum={self.momentum}"


def check_batch_size(size: int) -> None:
    if size < 2:
        raise ValueError(
            f"a training batch must hold at least 2 samples to be normalized, got {size}: "
            "drop the last batch (drop_last), choose another batch size, or call eval() to predict"
        )


class ScaledBatchNormHead(Head):
    """A linear layer without bias, its logits normalized over the batch and scaled.

        u = ScaledBatchNorm(W x),    L = -mean_n log softmax(u_n)[y_n]

    A bias would have a gradient of exactly 0. The length of a class's weight does not change u either (except through
    eps), so that only better features lower the loss. Source: Zhu et al. 2020, eq. 9.

    Args:
        scale: Standard deviation of the normalized logits, > 0. The paper's m: 0.8 to 1 for 100 to 361 classes. Fewer
            classes, or one much larger than the others, need more: see `advice`.
        eps: Added to the variance, > 0.
        momentum: Weight of the newest batch in the running estimates, in (0, 1].
    """

    title = "SBN"
    class_tensors: ClassVar[tuple[str, ...]] = ("linear.weight", "norm.running_mean", "norm.running_var")

    def __init__(
        self, num_features: int, num_classes: int, scale: float = 0.9, eps: float = 1e-5, momentum: float = 0.1
    ) -> None:
        super().__init__(num_features, num_classes)
        self.linear = nn.Linear(num_features, num_classes, bias=False)
        self.norm = ScaledBatchNorm(num_classes, scale, eps, momentum)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(float32_linear(features, self.linear.weight))

    def as_linear(self) -> nn.Linear:
        """W' = r W and b' = -r * running_mean, with r = scale / sqrt(running_var + eps)."""
        factor = self.norm.factor()
        return plain_linear(factor[:, None] * self.linear.weight, -factor * self.norm.running_mean)

    @property
    def class_weight(self) -> Tensor:
        """W (C, D), before normalization."""
        return self.linear.weight

    def advice(self, class_counts: Tensor) -> list[str]:
        return separation_advice(class_counts, float(self.norm.scale))
