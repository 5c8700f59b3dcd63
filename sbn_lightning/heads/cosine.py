"""Directions of vectors: what the heads that work on angles share."""

import math

import torch
from torch import Tensor

SHORTEST = 1e-8  # a shorter vector has no direction


def reciprocal_norm(vectors: Tensor) -> Tensor:
    """(N, D) -> (N,): 1 / ‖v‖, and 0 for a zero vector, whose cosines are then 0 and which receives no gradient."""
    norm = torch.linalg.vector_norm(vectors, dim=1)
    return norm.masked_fill(norm < SHORTEST, math.inf).reciprocal()


def unit(vectors: Tensor) -> Tensor:
    """(N, D) -> (N, D): v / ‖v‖; a zero vector stays zero."""
    return vectors * reciprocal_norm(vectors)[:, None]
