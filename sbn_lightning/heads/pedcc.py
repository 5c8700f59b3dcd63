"""PEDCC-Loss: AM-Softmax on class centroids that are fixed and as far apart as possible."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .all_devices import mean_over_devices
from .base import Head, float32_linear, plain_linear
from .cosine import reciprocal_norm, scale_advice, unit
from .scaled_batch_norm import ScaledBatchNorm
from .settings import check_at_least, check_positive
from .true_logit import subtract_margin


class PEDCCHead(Head):
    """AM-Softmax on fixed centroids a_1..a_C, plus the squared distance between a sample and its class's centroid.

        z   = scale * cos(x, a_c)
        MSE = mean_n ‖x_n / ‖x_n‖ - a_{y_n}‖^2 / 2 = mean_n (1 - cos(x_n, a_{y_n}))
        L   = -mean_n log softmax(z_n - scale * margin * onehot(y_n))[y_n] + mse_weight * (MSE + eps)^(1/root)

    x is the output of a neck: a linear layer without bias, then batch normalization without affine. Features that end
    in a ReLU need it: without a negative coordinate they cannot reach the centroids. In training the neck's statistics
    and the MSE are those of the batch of all devices; evaluation has no margin.
    Source: Zhu, Zhang, Wang and Ye 2020, arXiv 1904.06008 (PEDCC: predefined evenly-distributed class centroids), where
    scale is called s, margin m and root n.

    Args:
        scale: Multiplier of the cosines, > 0. The paper's settings are (scale, margin) = (7.5, 0.35) and (10, 0.5).
        margin: In cosine units, >= 0.
        mse_weight: Multiplier of the distance term, >= 0.
        root: The distance term is the root-th root of the mean, >= 1.
        embedding_dim: E, the neck's output dimension; None for no neck, where E = D.
        seed: Seed of the centroids' random rotation.
        eps: Added to the mean under the root, > 0; keeps the root's gradient finite.

    Raises:
        ValueError: If a setting is outside its range, or E < C - 1, too few dimensions for the centroids.
    """

    title = "PEDCC-Loss"

    centroids: Tensor

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        scale: float = 7.5,
        margin: float = 0.35,
        mse_weight: float = 1.0,
        root: float = 1.0,
        embedding_dim: int | None = 512,
        seed: int = 0,
        eps: float = 1e-5,
    ) -> None:
        super().__init__(num_features, num_classes)
        check_positive(scale=scale, eps=eps)
        check_at_least(0, margin=margin, mse_weight=mse_weight)
        check_at_least(1, root=root)
        self.scale = scale
        self.margin = margin
        self.mse_weight = mse_weight
        self.root = root
        self.eps = eps
        dimension = num_features if embedding_dim is None else embedding_dim
        self.register_buffer("centroids", simplex_centroids(num_classes, dimension, seed).float())
        self.neck = nn.Identity() if embedding_dim is None else Neck(num_features, embedding_dim)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C), in [-scale, scale]; with a neck N >= 2 in training."""
        embedding = self.neck(features).to(self.centroids.dtype)
        return float32_linear(embedding, self.centroids) * (self.scale * reciprocal_norm(embedding)[:, None])

    def loss(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """Mean cross-entropy, in training with the margin, plus the distance term."""
        half_squared_distance = 1 - logits.gather(1, labels[:, None]).squeeze(1) / self.scale
        if self.training:
            mse = mean_over_devices(half_squared_distance)
            logits = subtract_margin(logits, labels, self.scale * self.margin)
        else:
            mse = half_squared_distance.mean()
        return F.cross_entropy(logits, labels) + self.mse_weight * (mse + self.eps) ** (1 / self.root)

    def embed(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, E), of length 1."""
        return unit(self.neck(features).to(self.centroids.dtype))

    def as_linear(self) -> nn.Linear:
        """Rows scale * a_c, no bias."""
        return plain_linear(self.scale * self.centroids)

    @property
    def class_weight(self) -> Tensor:
        """The centroids (C, E), of length 1 and never trained."""
        return self.centroids

    def advice(self, class_counts: Tensor) -> list[str]:
        return scale_advice(self.scale, self.num_classes)


class Neck(nn.Module):
    """Linear layer without bias, then batch normalization without affine: (N, D) -> (N, E); N >= 2 in training."""

    def __init__(self, num_features: int, embedding_dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_features, embedding_dim, bias=False)
        self.norm = ScaledBatchNorm(embedding_dim, scale=1.0)

    def forward(self, features: Tensor) -> Tensor:
        return self.norm(float32_linear(features, self.linear.weight))


def simplex_centroids(num_classes: int, dimension: int, seed: int = 0) -> Tensor:
    """C unit vectors with equal angles that are as large as possible: a randomly rotated regular simplex.

    Their cosines are -1 / (C - 1). In closed form: the columns (1, .., 1, -i, 0, .., 0) / sqrt(i (i + 1)) with i ones,
    for i = 1 to C - 1, are orthonormal and orthogonal to (1, .., 1) (Helmert's matrix). Its C rows, times
    sqrt(C / (C - 1)), are the simplex.

    Args:
        num_classes: C, at least 2.
        dimension: E, at least C - 1.
        seed: Seed of the rotation; the global random state is neither used nor changed.

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
