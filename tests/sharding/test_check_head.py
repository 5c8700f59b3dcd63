"""Which heads can be divided among processes, and what is said of the others."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sbn_lightning.errors import UsageError
from sbn_lightning.heads import AMSoftmaxHead, Head, LSoftmaxHead, SoftmaxHead
from sbn_lightning.sharding.check_head import check_head

D, C = 16, 7


class WithOwnLoss(AMSoftmaxHead):
    def loss(self, *values: Any) -> Any:
        return super().loss(*values)


class WithNeck(SoftmaxHead):
    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.neck = nn.Linear(num_features, num_features)


class Misspelt(SoftmaxHead):
    class_tensors = ("linear.weight", "linear.bais")


class WithoutBias(SoftmaxHead):
    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.linear = nn.Linear(num_features, num_classes, bias=False)


class WithPrior(SoftmaxHead):
    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__(num_features, num_classes)
        self.register_buffer("prior", torch.zeros(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) + self.prior


class WithUnitLogits(SoftmaxHead):
    def forward(self, features: Tensor) -> Tensor:
        return nn.functional.normalize(super().forward(features))


@pytest.mark.parametrize(
    ("head", "processes", "reason"),
    [
        (LSoftmaxHead(D, C), 2, "LSoftmaxHead cannot be divided among processes: it does not say which of its tensors"),
        (WithOwnLoss(D, C), 2, "its loss is more than the cross-entropy of its logits"),
        (WithNeck(D, C), 2, "its parameter neck.weight does not belong to one class"),
        (Misspelt(D, C), 2, "its class_tensors name linear.bais, which is not a tensor with a row"),
        (WithoutBias(D, C), 2, "its class_tensors name linear.bias, which is not"),
        (WithPrior(D, C), 2, "it does not compute some classes from their rows of class_tensors alone"),
        (WithUnitLogits(D, C), 2, "its logits of a class depend on more than the class's rows of class_tensors"),
        (SoftmaxHead(D, C), 5, "7 classes cannot be divided among 5 processes so that each has some"),
    ],
)
def test_head_that_cannot_be_divided_is_refused(head: Head, processes: int, reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        check_head(head, processes)
