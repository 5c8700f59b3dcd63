"""A-Softmax, the loss of SphereFace: L-Softmax with normalized weights."""

from torch import Tensor, nn
from torch.linalg import vector_norm

from .base import plain_linear
from .cosine import projection, unit
from .l_softmax import LSoftmaxHead


class ASoftmaxHead(LSoftmaxHead):
    """L-Softmax with class weights of length 1, so that no class is preferred by a longer weight.

        z_c  = ‖x‖ cos(θ_c),    θ_c: the angle between x and w_c
        z'_y = ‖x‖ (λ * cos(θ_y) + ψ(θ_y)) / (1 + λ)

    Loss, ψ, λ and settings are those of `LSoftmaxHead`. The length of the features is the scale of the cosines, which
    the backbone learns. Evaluation has no margin; margin 1 is what the paper calls modified softmax.
    Source: Liu et al. 2017 (SphereFace), arXiv 1704.08063, eqs. 5 to 7, where margin is called m.
    """

    title = "A-Softmax"
    class_tensors = ("linear.weight",)

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, C), in [-‖x_n‖, ‖x_n‖]."""
        return projection(features, self.linear.weight)

    def lengths(self, features: Tensor, labels: Tensor) -> Tensor:
        """(N, D), (N,) -> (N,): ‖x‖."""
        return vector_norm(features.to(self.linear.weight.dtype), dim=1)

    def as_linear(self) -> nn.Linear:
        """Rows w_c / ‖w_c‖, no bias."""
        return plain_linear(unit(self.linear.weight))
