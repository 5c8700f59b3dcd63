"""The margin of L-Softmax and A-Softmax: the angle to the true class is multiplied, at first only a little."""

import math

import torch
from torch import Tensor, nn

from .cosine import SHORTEST
from .settings import check_at_least


class MultiplicativeMargin(nn.Module):
    """Lowers the true class's logit l * cos(θ), where l is a product of lengths, by more and more from step to step.

        z' = l * (λ * cos(θ) + ψ(θ)) / (1 + λ)
        λ  = max(annealing_end, annealing_start / (1 + annealing_rate * steps))

    with ψ of `multiplied`. With ψ alone, a training often does not converge; λ is the weight of the plain cosine beside
    it. λ reaches annealing_end after (annealing_start / annealing_end - 1) / annealing_rate steps, 1,659 by default.

    Source: Liu et al. 2016, arXiv 1612.02295. The schedule and the defaults are those of the authors of SphereFace, in
    github.com/wy1iu/sphereface, where they are called base, gamma and lambda_min.

    Args:
        margin: Multiplier of the angle, 1 (no margin), 2, 3 or 4.
        annealing_start: λ of the first step, >= annealing_end. If both are 0, ψ is used alone.
        annealing_rate: How fast λ falls, >= 0.
        annealing_end: λ's lower limit, >= 0.

    Attributes:
        steps: How many batches the margin was applied to; a buffer, so that a training that is continued goes on with
            the same λ. Where gradients are accumulated over several batches, each of them counts.

    Raises:
        ValueError: If a setting is outside its range.
    """

    steps: Tensor

    def __init__(
        self,
        margin: int = 4,
        annealing_start: float = 1000.0,
        annealing_rate: float = 0.12,
        annealing_end: float = 5.0,
    ) -> None:
        super().__init__()
        if margin not in (1, 2, 3, 4):
            raise ValueError(f"margin must be 1, 2, 3 or 4, got {margin}: it multiplies the angle")
        check_at_least(0, annealing_start=annealing_start, annealing_rate=annealing_rate, annealing_end=annealing_end)
        if annealing_start < annealing_end:
            raise ValueError(
                f"annealing_start must not be below annealing_end, which is {annealing_end}, got {annealing_start}: "
                "λ falls from the one to the other"
            )
        self.margin = int(margin)
        self.annealing_start = annealing_start
        self.annealing_rate = annealing_rate
        self.annealing_end = annealing_end
        self.register_buffer("steps", torch.tensor(0))

    def forward(self, logits: Tensor, lengths: Tensor) -> Tensor:
        """z = l cos(θ) (N,) and l (N,) -> z' (N,). Counts a step."""
        plain = (self.annealing_start / (1 + self.annealing_rate * self.steps)).clamp(min=self.annealing_end)
        self.steps.add_(1)
        cosine = logits / lengths.clamp(min=SHORTEST)
        return (plain * logits + lengths * multiplied(cosine, self.margin)) / (1 + plain)

    def extra_repr(self) -> str:
        annealing = f"{self.annealing_start}, {self.annealing_rate}, {self.annealing_end}"
        return f"{self.margin}, annealing: {annealing}"


def multiplied(cosine: Tensor, margin: int) -> Tensor:
    """cos(θ) -> ψ(θ): cos(margin * θ), continued downwards beyond θ = π / margin, where it would rise again.

        ψ(θ) = (-1)^k cos(margin * θ) - 2k    for θ in [k π / margin, (k + 1) π / margin],    k = 0 .. margin - 1

    It falls from 1 to 1 - 2 * margin. No angle is computed: k is the number of j in 1 .. margin - 1 with
    cos(θ) <= cos(j π / margin), and cos(margin * θ) is a polynomial in cos(θ).
    """
    k = torch.zeros_like(cosine)
    for j in range(1, margin):
        k = k + (cosine <= math.cos(j * math.pi / margin))
    sign = 1 - 2 * (k % 2)
    return sign * chebyshev(cosine, margin) - 2 * k


def chebyshev(cosine: Tensor, degree: int) -> Tensor:
    """T_n(cos θ) = cos(nθ), from T_0 = 1 and T_1 = cos(θ) by T_n = 2 cos(θ) T_(n-1) - T_(n-2)."""
    before, polynomial = torch.ones_like(cosine), cosine
    for _ in range(degree - 1):
        before, polynomial = polynomial, 2 * cosine * polynomial - before
    return polynomial
