"""Heads: what turns features into logits, and the loss that trains it. One file per idea."""

from .am_softmax import AMSoftmaxHead
from .base import Head
from .pedcc import PEDCCHead
from .scaled_batch_norm import ScaledBatchNorm, ScaledBatchNormHead
from .separated_loss import separated_loss, sufficient_scale
from .simplex import simplex_centroids
from .softmax import SoftmaxHead

__all__ = [
    "Head",
    "SoftmaxHead",
    "ScaledBatchNorm",
    "ScaledBatchNormHead",
    "separated_loss",
    "sufficient_scale",
    "AMSoftmaxHead",
    "PEDCCHead",
    "simplex_centroids",
]
