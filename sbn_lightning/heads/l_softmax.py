"""L-Softmax: a softmax with a margin that multiplies the angle."""

from torch import Tensor, nn
from torch.linalg import vector_norm

from .base import Head, float32_linear, plain_linear
from .multiplicative_margin import MultiplicativeMargin
from .true_logit import change_true_logit


class LSoftmaxHead(Head):
    """A linear layer without bias; in training, the angle between features and the true class's weight is multiplied.

        z_c = w_c·x = ‖w_c‖ ‖x‖ cos(θ_c)
        L   = -mean_n log softmax(z'_n)[y_n]

    z' is z with another logit of the true class y, where ψ(θ) is cos(margin * θ), continued downwards, and λ falls from
    step to step, see `MultiplicativeMargin`:

        z'_y = ‖w_y‖ ‖x‖ (λ * cos(θ_y) + ψ(θ_y)) / (1 + λ)

    Evaluation has no margin; margin 1 is a softmax without bias. Source: Liu et al. 2016, arXiv 1612.02295, eqs. 4, 6
    and 7, where margin is called m.

    Args:
        margin: Multiplier of the angle, 1 (no margin), 2, 3 or 4.
        annealing_start: λ of the first step, >= annealing_end. If both are 0, ψ is used alone.
        annealing_rate: λ is annealing_start / (1 + annealing_rate * steps), >= 0.
        annealing_end: λ's lower limit, >= 0.
    """

    title = "L-Softmax"

    def __init__(
        self,
        num_features: int,
        num_classes: int,
        margin: int = 4,
        annealing_start: float = 1000.0,
        annealing_rate: float = 0.12,
        annealing_end: float = 5.0,
    ) -> None:
        super().__init__(num_features, num_classes)
        self.linear = nn.Linear(num_features, num_classes, bias=False)
        self.margin = MultiplicativeMargin(margin, annealing_start, annealing_rate, annealing_end)

    def forward(self, features: Tensor) -> Tensor:
        return float32_linear(features, self.linear.weight)

    def with_margin(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """(N, C) -> (N, C): the true classes' logits are z'_y. Counts a step of the annealing."""
        lengths = self.lengths(features, labels)
        return change_true_logit(logits, labels, lambda true_logits: self.margin(true_logits, lengths))

    def lengths(self, features: Tensor, labels: Tensor) -> Tensor:
        """(N, D), (N,) -> (N,): what cos(θ_y) is multiplied by in the true class's logit, here ‖w_y‖ ‖x‖."""
        weight = self.linear.weight
        # The norms of N rows; the gradient of those of all C rows would take longer.
        return vector_norm(weight[labels], dim=1) * vector_norm(features.to(weight.dtype), dim=1)

    def as_linear(self) -> nn.Linear:
        return plain_linear(self.linear.weight)

    @property
    def class_weight(self) -> Tensor:
        return self.linear.weight
