"""Heads: what turns features into logits, and the loss that trains it. One file per idea.

Every module of this folder is imported here, so that a head in a new file is found by its name.
"""

from importlib import import_module
from pkgutil import iter_modules

from .a_softmax import ASoftmaxHead
from .am_softmax import AMSoftmaxHead
from .arc_face import ArcFaceHead
from .balanced_moments import BalancedMomentsHead
from .base import Head
from .batch_norm import BatchNormHead
from .center_loss import CenterLossHead
from .l_softmax import LSoftmaxHead
from .learned_scale import LearnedScaleHead
from .logit_norm import LogitNormHead
from .normface import NormFaceHead
from .pedcc import PEDCCHead, simplex_centroids
from .running_statistics import RunningStatisticsHead
from .scaled_batch_norm import ScaledBatchNorm, ScaledBatchNormHead
from .scheduled_scale import ScheduledScaleHead
from .separated_loss import separated_loss, sufficient_scale
from .softmax import SoftmaxHead

__all__ = [
    "Head", "SoftmaxHead", "ScaledBatchNorm", "ScaledBatchNormHead", "separated_loss", "sufficient_scale",
    "AMSoftmaxHead", "PEDCCHead", "simplex_centroids",
    "LearnedScaleHead", "BatchNormHead", "ScheduledScaleHead", "RunningStatisticsHead", "BalancedMomentsHead",
    "LogitNormHead", "CenterLossHead",
    "NormFaceHead", "ArcFaceHead", "LSoftmaxHead", "ASoftmaxHead",
]  # fmt: skip

for _module in iter_modules(__path__, f"{__name__}."):
    for _name, _kind in vars(import_module(_module.name)).items():
        if isinstance(_kind, type) and issubclass(_kind, Head) and not _name.startswith("_"):
            globals()[_name] = _kind
