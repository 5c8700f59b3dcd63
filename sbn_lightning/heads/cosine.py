"""Directions of vectors: what the heads that work on angles share."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from .base import float32_linear

SHORTEST = 1e-8  # a shorter vector has no direction
CONFIDENT = 0.9  # probability that a scale should allow; its loss is 0.1 nats


def reciprocal_norm(vectors: Tensor) -> Tensor:
    """(N, D) -> (N,): 1 / ‖v‖, and 0 for a zero vector, whose cosines are then 0 and which receives no gradient."""
    norm = torch.linalg.vector_norm(vectors, dim=1)
    return norm.masked_fill(norm < SHORTEST, math.inf).reciprocal()


def unit(vectors: Tensor) -> Tensor:
    """(N, D) -> (N, D): v / ‖v‖; a zero vector stays zero."""
    return vectors * reciprocal_norm(vectors)[:, None]


def scaled_cosine(features: Tensor, weight: Tensor, scale: float) -> Tensor:
    """(N, D), (C, D) -> (N, C): scale * cos(x_n, w_c) in the weight's precision, once differentiable for both."""
    return _ScaledCosine.apply(features.to(weight.dtype), weight, scale)


def projection(features: Tensor, weight: Tensor) -> Tensor:
    """(N, D), (C, D) -> (N, C): ‖x_n‖ cos(x_n, w_c) in the weight's precision, once differentiable for both."""
    return _Projection.apply(features.to(weight.dtype), weight)


def largest_probability(scale: float, num_classes: int) -> float:
    """The largest probability that a softmax over scaled cosines can give to the true class of every sample.

        p = 1 / (1 + (C - 1) * exp(-scale * C / (C - 1)))

    It is reached in a regular simplex: the cosine is 1 for the true class, and -1 / (C - 1) for the C - 1 others.

    Source: Wang et al. 2017 (NormFace), arXiv 1704.06369, proposition 2: -log p bounds the mean loss from below.
    """
    others = num_classes - 1
    return 1 / (1 + others * math.exp(-scale * num_classes / others))


def scale_advice(scale: float, num_classes: int) -> list[str]:
    """Name a larger scale where not even perfect features reach a probability of 0.9; one sentence or none.

    The equation of `largest_probability`, solved for the scale, gives (C - 1)/C * log((C - 1) * p / (1 - p)).
    """
    probability = largest_probability(scale, num_classes)
    if probability >= CONFIDENT:
        return []
    others = num_classes - 1
    enough = others / num_classes * math.log(others * CONFIDENT / (1 - CONFIDENT))
    return [
        f"Scale {scale:g} is small for {num_classes} classes: even perfect features have a probability of "
        f"{probability:.2g} on average. --model.head.scale {math.ceil(enough * 10) / 10:g} allows {CONFIDENT:g}."
    ]


class _ScaledCosine(torch.autograd.Function):
    """z[n, c] = scale * x_n·w_c / (‖x_n‖ ‖w_c‖), and its derivatives in closed form:

        ∂z[n, c]/∂x_n = scale * w_c / (‖x_n‖ ‖w_c‖) - z[n, c] * x_n / ‖x_n‖²,    and the same with x and w exchanged

    Autograd's own backward of two norms and two products reads and writes (C, D) and (N, C) several times more often:
    it takes 1.2 to 1.4 times as long.
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, scale: float) -> Tensor:
        features_rnorm, weight_rnorm = reciprocal_norm(features), reciprocal_norm(weight)
        factors = torch.outer(scale * features_rnorm, weight_rnorm)
        logits = float32_linear(features, weight) * factors
        ctx.save_for_backward(features, weight, features_rnorm, weight_rnorm, factors, logits)
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        features, weight, features_rnorm, weight_rnorm, factors, logits = ctx.saved_tensors
        to_products = gradient * factors
        radial = gradient * logits
        to_features = (radial.sum(1) * features_rnorm.square())[:, None]
        to_weight = (radial.sum(0) * weight_rnorm.square())[:, None]
        return (
            torch.addcmul(to_products @ weight, features, to_features, value=-1),
            torch.addcmul(to_products.T @ features, weight, to_weight, value=-1),
            None,
        )


class _Projection(torch.autograd.Function):
    """z[n, c] = x_n·w_c / ‖w_c‖, and its derivatives in closed form:

    ∂z[n, c]/∂x_n = w_c / ‖w_c‖,    ∂z[n, c]/∂w_c = x_n / ‖w_c‖ - z[n, c] * w_c / ‖w_c‖²
    """

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor) -> Tensor:
        weight_rnorm = reciprocal_norm(weight)
        logits = float32_linear(features, weight) * weight_rnorm
        ctx.save_for_backward(features, weight, weight_rnorm, logits)
        return logits

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        features, weight, weight_rnorm, logits = ctx.saved_tensors
        to_products = gradient * weight_rnorm
        to_weight = ((gradient * logits).sum(0) * weight_rnorm.square())[:, None]
        return to_products @ weight, torch.addcmul(to_products.T @ features, weight, to_weight, value=-1)
