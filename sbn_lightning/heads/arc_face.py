"""ArcFace: a softmax over scaled cosines with a margin that is added to the angle."""

import math

import torch
from torch import Tensor

from .normface import NormFaceHead
from .true_logit import change_true_logit


class ArcFaceHead(NormFaceHead):
    """NormFace, where in training the angle between features and the true class's weight is made larger by a margin.

        z_c = scale * cos(θ_c),    θ_c: the angle between x and w_c
        L   = -mean_n log softmax(z'_n)[y_n]

    z' is z with another logit of the true class y, scale * ψ(θ_y):

        ψ(θ) = cos(θ + margin)                    where θ + margin <= π
               cos(θ) - margin * sin(margin)      beyond, where the cosine would rise again

    Evaluation has no margin; margin 0 is NormFace. Source: Deng et al. 2019, arXiv 1801.07698, eq. 3, where scale is
    called s and margin m; the part beyond π is from the authors' code, github.com/deepinsight/insightface.

    Args:
        scale: Multiplier of the cosines, > 0. The paper's, for 85,000 classes, is 64.
        margin: In radians, from 0 to π/2. The paper's is 0.5. (From 2.34 on, ψ would rise at θ = π - margin.)
    """

    title = "ArcFace"

    def __init__(self, num_features: int, num_classes: int, scale: float = 30.0, margin: float = 0.5) -> None:
        super().__init__(num_features, num_classes, scale)
        if not 0 <= margin <= math.pi / 2:
            raise ValueError(f"margin must be an angle in radians, from 0 to π/2, got {margin}")
        self.margin = margin

    def with_margin(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """(N, C) -> (N, C): the true classes' logits are scale * ψ(θ)."""
        return change_true_logit(logits, labels, lambda z: self.scale * increased(z / self.scale, self.margin))


def increased(cosine: Tensor, margin: float) -> Tensor:
    """cos(θ) -> ψ(θ), where cos(θ + margin) = cos(θ) cos(margin) - sin(θ) sin(margin)."""
    within = cosine * math.cos(margin) - sine(cosine) * math.sin(margin)
    beyond = cosine - margin * math.sin(margin)
    return torch.where(cosine >= -math.cos(margin), within, beyond)  # cos(π - margin)


def sine(cosine: Tensor) -> Tensor:
    """cos(θ) -> sin(θ), in [0, 1]; 0 with gradient 0 for cosines of ±1, or, by rounding, of slightly more."""
    square = (1 - cosine) * (1 + cosine)
    is_positive = square > 0
    return square.where(is_positive, 1).sqrt().where(is_positive, 0)
