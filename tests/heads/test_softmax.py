"""Softmax and cross-entropy: the paper's equations 1 and 5 to 8."""

import math

import torch

from sbn_lightning.heads import SoftmaxHead


def head_with_logits_equal_to_features(num_classes: int) -> SoftmaxHead:
    head = SoftmaxHead(num_classes, num_classes).double()
    with torch.no_grad():
        head.linear.weight.copy_(torch.eye(num_classes))
        head.linear.bias.zero_()
    return head


def test_probability_of_the_papers_example() -> None:
    # The paper's section 3 prints 0.6769 for e^2 / (e + e + e^2); right is 1 / (1 + 2 / e) = 0.576117.
    head = head_with_logits_equal_to_features(3)
    features = torch.tensor([[1.0, 1.0, 2.0]], dtype=torch.float64)
    loss = head.loss(head(features), torch.tensor([2]), features)
    assert abs(math.exp(-loss.item()) - 1 / (1 + 2 / math.e)) < 1e-12
    assert abs(math.exp(-loss.item()) - 0.576117) < 5e-7


def test_longer_weights_alone_raise_the_probability() -> None:
    # the paper's second example, [2, 2, 4]: 1 / (1 + 2 / e^2) = 0.786986
    head = head_with_logits_equal_to_features(3)
    with torch.no_grad():
        head.linear.weight.mul_(2)
    probabilities = head(torch.tensor([[1.0, 1.0, 2.0]], dtype=torch.float64)).softmax(dim=1)
    assert abs(probabilities[0, 2].item() - 0.786986) < 5e-7


def test_gradient_of_the_logits_is_probabilities_minus_labels() -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor([0, 2, 1, 1, 0])
    SoftmaxHead(3, 3).loss(logits, labels, logits).backward()
    onehot = torch.eye(3, dtype=torch.float64)[labels]
    torch.testing.assert_close(logits.grad, (logits.detach().softmax(dim=1) - onehot) / 5, rtol=1e-12, atol=1e-14)


def test_logits_are_a_linear_map_with_bias() -> None:
    head = SoftmaxHead(2, 3)
    with torch.no_grad():
        head.linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]))
        head.linear.bias.copy_(torch.tensor([0.0, 0.5, -1.0]))
    assert head(torch.tensor([[2.0, 3.0]])).tolist() == [[2.0, 3.5, 4.0]]
