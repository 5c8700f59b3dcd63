"""How a head's training step grows with the number of classes."""

from collections.abc import Callable, Iterator

import torch

from sbn_lightning.heads import Head, ScaledBatchNormHead, SoftmaxHead
from tests.benchmarks.comparison import Row, compare, timed

N, D = 128, 512
REPETITIONS = 7
CLASSES_AND_STEPS = ((1_000, 50), (10_000, 5), (100_000, 1))  # steps in one repetition


def rows() -> Iterator[Row]:
    """Scaled batch normalization beside softmax, a row for each number of classes."""
    for num_classes, steps in CLASSES_AND_STEPS:
        ours, theirs = (training_steps(kind(D, num_classes), steps) for kind in (ScaledBatchNormHead, SoftmaxHead))
        what = f"ScaledBatchNormHead beside SoftmaxHead, step with SGD, C = {num_classes:,}"
        ours(), theirs()  # allocates gradients and momentum
        yield compare(ours, theirs, REPETITIONS).time_row(what)


def training_steps(head: Head, steps: int) -> Callable[[], float]:
    """How to measure a step: forward, backward and the paper's optimizer."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(N, D, generator=generator, requires_grad=True)
    labels = torch.randint(head.num_classes, (N,), generator=generator)
    optimizer = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4)

    def run() -> None:
        for _ in range(steps):
            features.grad = None
            loss = head.loss(head(features), labels, features)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return timed(run, steps)
