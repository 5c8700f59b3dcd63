"""L-Softmax and A-Softmax: a margin that multiplies the angle."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sbn_lightning.heads import ASoftmaxHead, LSoftmaxHead

D, C, N = 3, 5, 40
HEADS = [LSoftmaxHead, ASoftmaxHead]
NO_ANNEALING = {"annealing_start": 0.0, "annealing_end": 0.0}

FEATURES = torch.randn(N, D, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
LABELS = torch.arange(N) % C


def in_the_plane(head_class: type[LSoftmaxHead], **settings: float) -> tuple[LSoftmaxHead, Tensor]:
    """A head with w_0 = (2, 0) and w_1 = (0, 5), and a feature vector of length 3, 60° from the first, 30° from the
    second."""
    head = head_class(2, 2, margin=2, **settings).double()
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 5.0]]))
    return head, torch.tensor([[1.5, 1.5 * math.sqrt(3)]], dtype=torch.float64)


@pytest.mark.parametrize(
    ("head_class", "logits", "plain_weight", "true_logit"),
    [
        # ‖w_0‖ ‖x‖ = 6: 6 cos 60° = 3, and with margin 2, 6 cos 120° = -3; their mean with λ = 1 is 0
        (LSoftmaxHead, [3.0, 7.5 * math.sqrt(3)], 0.0, -3.0),
        (LSoftmaxHead, [3.0, 7.5 * math.sqrt(3)], 1.0, 0.0),
        # ‖x‖ = 3: 3 cos 60° = 1.5 and 3 cos 120° = -1.5; (2 * 1.5 - 1.5) / 3 = 0.5
        (ASoftmaxHead, [1.5, 1.5 * math.sqrt(3)], 0.0, -1.5),
        (ASoftmaxHead, [1.5, 1.5 * math.sqrt(3)], 2.0, 0.5),
    ],
)
def test_loss_of_known_angles(
    head_class: type[LSoftmaxHead], logits: list[float], plain_weight: float, true_logit: float
) -> None:
    head, features = in_the_plane(head_class, annealing_start=plain_weight, annealing_end=plain_weight)
    torch.testing.assert_close(head(features)[0], torch.tensor(logits).double(), rtol=1e-6, atol=0)
    loss = head.loss(head(features), torch.tensor([0]), features).item()
    assert loss == pytest.approx(math.log(1 + math.exp(logits[1] - true_logit)), rel=1e-12)


@pytest.mark.parametrize("head_class", HEADS)
def test_evaluation_has_no_margin_and_counts_no_steps(head_class: type[LSoftmaxHead]) -> None:
    head = head_class(D, C, **NO_ANNEALING).double()
    logits = head(FEATURES)
    assert head.loss(logits, LABELS, FEATURES) > F.cross_entropy(logits, LABELS)
    assert torch.equal(head.eval().loss(logits, LABELS, FEATURES), F.cross_entropy(logits, LABELS))
    assert head.margin.steps == 1


@pytest.mark.parametrize("head_class", HEADS)
def test_margin_1_is_cross_entropy(head_class: type[LSoftmaxHead]) -> None:
    head = head_class(D, C, margin=1).double()
    logits = head(FEATURES)
    expected = F.cross_entropy(logits, LABELS)
    torch.testing.assert_close(head.loss(logits, LABELS, FEATURES), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("head_class", HEADS)
def test_compiled_steps_are_counted_too(head_class: type[LSoftmaxHead]) -> None:
    plain, head = (head_class(D, C, annealing_rate=1.0).double() for _ in range(2))
    head.load_state_dict(plain.state_dict())

    def loss(head: LSoftmaxHead, features: Tensor) -> Tensor:
        return head.loss(head(features), LABELS, features)

    compiled = torch.compile(loss, backend="aot_eager", fullgraph=True)
    for _ in range(3):
        torch.testing.assert_close(compiled(head, FEATURES), loss(plain, FEATURES), rtol=1e-12, atol=0)
    assert head.margin.steps == 3


def test_a_softmax_ignores_the_lengths_of_weights_but_not_of_features() -> None:
    head = ASoftmaxHead(D, C).double()
    before = head(FEATURES)
    with torch.no_grad():
        head.linear.weight.mul_(torch.tensor([[0.1], [1], [7], [100], [3]]))
    torch.testing.assert_close(head(2 * FEATURES), 2 * before, rtol=1e-12, atol=1e-12)
