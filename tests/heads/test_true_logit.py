"""Margins change the true class's logit alone."""

import torch

from sbn_lightning.heads.true_logit import change_true_logit, subtract_margin

LOGITS = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]], dtype=torch.float64)
LABELS = torch.tensor([2, 0])


def test_only_true_logits_change() -> None:
    assert subtract_margin(LOGITS, LABELS, 0.5).tolist() == [[1.0, 2.0, 2.5], [3.5, 5.0, 6.0]]
    assert change_true_logit(LOGITS, LABELS, lambda z: -10 * z).tolist() == [[1.0, 2.0, -30.0], [-40.0, 5.0, 6.0]]
    assert LOGITS.tolist() == [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]


def test_gradient_of_a_changed_logit_is_multiplied_by_the_slope() -> None:
    logits = LOGITS.clone().requires_grad_()
    change_true_logit(logits, LABELS, lambda z: z.square()).sum().backward()
    assert logits.grad is not None
    assert logits.grad.tolist() == [[1.0, 1.0, 2 * 3.0], [2 * 4.0, 1.0, 1.0]]


def test_gradient_agrees_with_finite_differences() -> None:
    lengths = torch.tensor([0.5, 2.0], dtype=torch.float64).requires_grad_()

    def changed(logits: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        return change_true_logit(logits, LABELS, lambda z: lengths * z.sin()).cos()

    assert torch.autograd.gradcheck(changed, (LOGITS.clone().requires_grad_(), lengths))
