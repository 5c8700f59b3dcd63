"""Class centroids that are as far apart as possible."""

import math

import torch
from torch import Tensor


def simplex_centroids(num_classes: int, dimension: int, seed: int = 0) -> Tensor:
    """C unit vectors with equal angles, as large as can be: a regular simplex, cosines -1 / (C - 1), randomly rotated.

    In closed form: the columns (1, .., 1, -i, 0, .., 0) / sqrt(i (i + 1)) with i ones, for i = 1 to C - 1, are
    orthonormal and orthogonal to (1, .., 1) (Helmert's matrix). Its C rows, times sqrt(C / (C - 1)), are the simplex.

    Args:
        num_classes: C, at least 2.
        dimension: E, at least C - 1.
        seed: Of the rotation; the global random state is neither used nor changed.

    Returns:
        (C, E) in float64.

    Raises:
        ValueError: If dimension < C - 1.
    """
    spanned = num_classes - 1
    if dimension < spanned:
        raise ValueError(
            f"{num_classes} centroids with equal angles need at least {spanned} dimensions, got {dimension}: "
            f"set embedding_dim to {spanned} or more"
        )
    i = torch.arange(1, num_classes, dtype=torch.float64, device="cpu")
    simplex = torch.ones(num_classes, spanned, dtype=torch.float64, device="cpu").triu()
    simplex[1:].diagonal().copy_(-i)
    simplex *= math.sqrt(num_classes / spanned) / torch.sqrt(i * (i + 1))

    generator = torch.Generator("cpu").manual_seed(seed)
    normal = torch.randn(dimension, spanned, dtype=torch.float64, device="cpu", generator=generator)
    basis, triangle = torch.linalg.qr(normal)
    rotation = basis * triangle.diagonal().sign()  # a positive diagonal makes QR unique, and uniform over rotations
    return simplex @ rotation.T
