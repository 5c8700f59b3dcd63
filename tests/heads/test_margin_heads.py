"""The heads with angles and margins, held against pytorch-metric-learning.

Its definitions are those of the papers, apart from the annealing of L-Softmax and A-Softmax, which it does not have. At
cosines of ±1, where its ArcFaceLoss has no gradient (NaN), see test_arc_face.py.
"""

import math
from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from pytorch_metric_learning.losses import (
    ArcFaceLoss,
    CosFaceLoss,
    LargeMarginSoftmaxLoss,
    NormalizedSoftmaxLoss,
    SphereFaceLoss,
)
from torch import Tensor, nn

from sbn_lightning.heads import AMSoftmaxHead, ArcFaceHead, ASoftmaxHead, Head, LSoftmaxHead, NormFaceHead

D, C, N = 3, 5, 60  # in three dimensions, angles lie everywhere between 0 and π
NO_ANNEALING = {"annealing_start": 0.0, "annealing_end": 0.0}  # theirs has none

HEADS: dict[str, tuple[Callable[[], Head], Callable[[], nn.Module]]] = {
    "normface": (lambda: NormFaceHead(D, C, 20.0), lambda: NormalizedSoftmaxLoss(C, D, temperature=0.05)),
    "am_softmax": (lambda: AMSoftmaxHead(D, C, 7.5, 0.35), lambda: CosFaceLoss(C, D, scale=7.5, margin=0.35)),
    "arc_face": (  # theirs takes degrees
        lambda: ArcFaceHead(D, C, 16.0, 0.5),
        lambda: ArcFaceLoss(C, D, scale=16.0, margin=math.degrees(0.5)),
    ),
    "arc_face_wide": (  # a quarter of the angles is beyond π - margin
        lambda: ArcFaceHead(D, C, 4.0, 1.5),
        lambda: ArcFaceLoss(C, D, scale=4.0, margin=math.degrees(1.5)),
    ),
    **{
        f"l_softmax_{margin}": (
            lambda margin=margin: LSoftmaxHead(D, C, margin, **NO_ANNEALING),
            lambda margin=margin: LargeMarginSoftmaxLoss(C, D, margin),
        )
        for margin in (1, 2, 3, 4)
    },
    **{
        f"a_softmax_{margin}": (
            lambda margin=margin: ASoftmaxHead(D, C, margin, **NO_ANNEALING),
            lambda margin=margin: SphereFaceLoss(C, D, margin),
        )
        for margin in (1, 2, 3, 4)
    },
}


@pytest.fixture
def features() -> Tensor:
    return torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()


@pytest.fixture
def labels() -> Tensor:
    return torch.arange(N) % C


@pytest.fixture
def weight() -> Tensor:
    return torch.randn(C, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64).requires_grad_()


def loss_of(head: Head, features: Tensor, labels: Tensor, weight: Tensor) -> Tensor:
    """The loss of a copy of the head with this class weight."""
    head = deepcopy(head).double()
    del head.linear.weight
    head.linear.weight = weight
    return head.loss(head(features), labels, features)


@pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # theirs gives a tensor to SciPy
@pytest.mark.parametrize("name", HEADS)
def test_loss_and_gradients_are_those_of_pytorch_metric_learning(
    name: str, features: Tensor, labels: Tensor, weight: Tensor
) -> None:
    head, theirs = (build() for build in HEADS[name])
    theirs.W = nn.Parameter(weight.detach().T.clone())
    expected = theirs(features, labels)
    their_gradients = torch.autograd.grad(expected, (features, theirs.W))
    loss = loss_of(head, features, labels, weight)
    gradients = torch.autograd.grad(loss, (features, weight))
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients[0], their_gradients[0], rtol=1e-9, atol=1e-12)
    torch.testing.assert_close(gradients[1], their_gradients[1].T, rtol=1e-9, atol=1e-12)
