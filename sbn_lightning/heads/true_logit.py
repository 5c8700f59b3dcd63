"""What every margin does: it lowers the true class's logit, and no other one."""

from collections.abc import Callable

import torch
from torch import Tensor


def subtract_margin(logits: Tensor, labels: Tensor, margin: float) -> Tensor:
    """Return logits - margin * onehot(labels), (N, C), with the margin in the logits' units."""
    return logits - torch.zeros_like(logits).scatter_(1, labels[:, None], margin)


def change_true_logit(logits: Tensor, labels: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Return logits (N, C) in which change(z) is in the place of the true classes' logits z (N,).

    The change is computed for N values, not for N * C; it may depend on the features and weights, too.
    """
    columns = labels[:, None]
    true_logits = logits.gather(1, columns).squeeze(1)
    return logits.scatter(1, columns, change(true_logits)[:, None])
