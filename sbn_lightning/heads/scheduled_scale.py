"""Scaled batch normalization whose scale changes over the first epochs."""

import torch
from torch import Tensor

from .scaled_batch_norm import ScaledBatchNormHead
from .separated_loss import separation_advice
from .settings import check_at_least, check_positive


class ScheduledScaleHead(ScaledBatchNormHead):
    """Scaled batch normalization whose scale moves from one value to another during the first epochs.

        u[n, c] = s * (z[n, c] - mean_c) / sqrt(var_c + eps),    z = W x,    L = -mean_n log softmax(u_n)[y_n]
        s = first_scale + (scale - first_scale) * min(epoch / scale_epochs, 1),    epoch = 0, 1, 2, ...

    A small scale keeps every sample's gradient large, and a large one lets the probabilities reach 1; this head begins
    with the small one and ends with the large one. The number of epochs is a setting of its own, like a milestone of
    a learning-rate schedule: a training that is continued for longer does not change what came before.

    Args:
        scale: Scale from epoch `scale_epochs` on, > 0; see `ScaledBatchNormHead`.
        first_scale: Scale of the first epoch, > 0; it may also be larger than `scale`.
        scale_epochs: Number of epochs before `scale` is reached, >= 1.
        eps: Added to the variance, > 0.
        momentum: Weight of the newest batch in the running estimates, in (0, 1].
    """

    title = "SBN with scheduled scale"

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        scale: float = 0.9,
        first_scale: float = 0.45,
        scale_epochs: int = 30,
        eps: float = 1e-5,
        momentum: float = 0.1,
    ) -> None:
        super().__init__(num_features, num_classes, scale, eps, momentum)
        check_positive(first_scale=first_scale)
        check_at_least(1, scale_epochs=scale_epochs)
        self.last_scale = scale
        self.first_scale = first_scale
        self.scale_epochs = scale_epochs
        del self.norm.scale  # a number, in whose place a buffer is put
        self.norm.register_buffer("scale", torch.tensor(float(first_scale)))

    def start_epoch(self, epoch: int) -> None:
        progress = min(epoch / self.scale_epochs, 1.0)
        assert isinstance(self.norm.scale, Tensor)
        self.norm.scale.fill_(self.first_scale + (self.last_scale - self.first_scale) * progress)

    def advice(self, class_counts: Tensor) -> list[str]:
        """The advice for the last scale."""
        return separation_advice(class_counts, self.last_scale)
