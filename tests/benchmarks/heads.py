"""Forward and backward of a head alone, from features to their gradient."""

from collections.abc import Callable, Iterator
from functools import partial

import torch
from pytorch_metric_learning.losses import CosFaceLoss
from torch import Tensor, nn

from sbn_lightning.heads import AMSoftmaxHead, Head, ScaledBatchNormHead, SoftmaxHead
from tests.benchmarks.comparison import Row, compare, timed

N, D = 128, 512
REPETITIONS = 31
STEPS = 40  # in one repetition


def rows() -> Iterator[Row]:
    """Scaled batch normalization against softmax, then AM-Softmax against pytorch-metric-learning."""
    for num_classes in (100, 361):
        heads = ScaledBatchNormHead(D, num_classes), SoftmaxHead(D, num_classes)
        ours, theirs = (steps(head, partial(head_loss, head), num_classes) for head in heads)
        what = f"ScaledBatchNormHead against SoftmaxHead, forward + backward, C = {num_classes}"
        yield compare(ours, theirs, REPETITIONS).time_row(what)
    for num_classes in (100, 361):
        head = AMSoftmaxHead(D, num_classes, scale=7.5, margin=0.35)
        cosface = CosFaceLoss(num_classes, D, scale=7.5, margin=0.35)
        ours = steps(head, partial(head_loss, head), num_classes)
        theirs = steps(cosface, cosface, num_classes)
        what = f"AMSoftmaxHead against pytorch-metric-learning's CosFaceLoss, forward + backward, C = {num_classes}"
        yield compare(ours, theirs, REPETITIONS).speed_row(what, "at least 1.5×")


def head_loss(head: Head, features: Tensor, labels: Tensor) -> Tensor:
    """What the classifier computes of a head in training."""
    return head.loss(head(features), labels, features)


def steps(module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], num_classes: int) -> Callable[[], float]:
    """How to measure a step: the gradients of loss(features, labels) for the features and the module's parameters."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(N, D, generator=generator, requires_grad=True)
    labels = torch.randint(num_classes, (N,), generator=generator)

    def run() -> None:
        for _ in range(STEPS):
            module.zero_grad()
            features.grad = None
            loss(features, labels).backward()

    return timed(run, STEPS)
