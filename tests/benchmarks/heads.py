"""Forward and backward of a head alone, from features to their gradient."""

import math
from collections.abc import Callable, Iterator
from functools import partial

import torch
from pytorch_metric_learning.losses import (
    ArcFaceLoss,
    CosFaceLoss,
    LargeMarginSoftmaxLoss,
    NormalizedSoftmaxLoss,
    SphereFaceLoss,
)
from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile

from sbn_lightning.heads import (
    AMSoftmaxHead,
    ArcFaceHead,
    ASoftmaxHead,
    Head,
    LSoftmaxHead,
    NormFaceHead,
    ScaledBatchNormHead,
    SoftmaxHead,
)
from tests.benchmarks.comparison import Row, compare, timed

N, D = 128, 512
STEPS_AND_REPETITIONS = {100: (40, 31), 361: (40, 31), 10_000: (4, 11)}
"""{number of classes: how many steps make a repetition, and how many of these are measured}."""
MARGINS: tuple[tuple[type[Head], type[nn.Module], dict[str, float]], ...] = (
    (NormFaceHead, NormalizedSoftmaxLoss, {"temperature": 1 / 16}),
    (AMSoftmaxHead, CosFaceLoss, {"scale": 7.5, "margin": 0.35}),
    (ArcFaceHead, ArcFaceLoss, {"scale": 30.0, "margin": math.degrees(0.5)}),
    (LSoftmaxHead, LargeMarginSoftmaxLoss, {"margin": 4}),
    (ASoftmaxHead, SphereFaceLoss, {"margin": 4}),
)
"""Our heads with their default settings; beside them, pytorch-metric-learning's losses with the same."""


def rows() -> Iterator[Row]:
    """Scaled batch normalization against softmax, then the heads with angles against pytorch-metric-learning."""
    for num_classes in (100, 361):
        steps, repetitions = STEPS_AND_REPETITIONS[num_classes]
        heads = ScaledBatchNormHead(D, num_classes), SoftmaxHead(D, num_classes)
        ours, theirs = (Step(head, partial(head_loss, head), num_classes) for head in heads)
        what = f"ScaledBatchNormHead against SoftmaxHead, forward + backward, C = {num_classes:,}"
        yield compare(ours.timed(steps), theirs.timed(steps), repetitions).time_row(what)
    for num_classes in (361, 10_000):
        steps, repetitions = STEPS_AND_REPETITIONS[num_classes]
        for our_class, their_class, settings in MARGINS:
            head, loss = our_class(D, num_classes), their_class(num_classes, D, **settings)
            ours, theirs = Step(head, partial(head_loss, head), num_classes), Step(loss, loss, num_classes)
            what = f"{our_class.__name__} against pytorch-metric-learning's {their_class.__name__}, forward + backward"
            what = f"{what}, C = {num_classes:,}"
            yield compare(ours.timed(steps), theirs.timed(steps), repetitions).speed_row(what, "at least 1.5×")
            few, many = ours.peak_bytes(), theirs.peak_bytes()
            ratio = f"{few / many:.3g}× the bytes"
            yield Row(f"{what}, memory at its peak", f"{few:,} bytes", f"{many:,} bytes", ratio, "at most 1×")


def head_loss(head: Head, features: Tensor, labels: Tensor) -> Tensor:
    """What the classifier computes of a head in training."""
    return head.loss(head(features), labels, features)


class Step:
    """The gradients of loss(features, labels) for the features and the module's parameters."""

    def __init__(self, module: nn.Module, loss: Callable[[Tensor, Tensor], Tensor], num_classes: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.module = module
        self.loss = loss
        self.features = torch.randn(N, D, generator=generator, requires_grad=True)
        self.labels = torch.randint(num_classes, (N,), generator=generator)
        self()  # so that the first one that is measured is like all others

    def __call__(self) -> None:
        self.forget_gradients()
        self.loss(self.features, self.labels).backward()

    def forget_gradients(self) -> None:
        self.module.zero_grad()
        self.features.grad = None

    def timed(self, steps: int) -> Callable[[], float]:
        """How to measure a step."""
        return timed(lambda: [self() for _ in range(steps)], steps)

    def peak_bytes(self) -> int:
        """The most that PyTorch's tensors take during a step, gradients included, beyond features and parameters."""
        self.forget_gradients()
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
            self()
        events = [one for one in profiled.profiler.kineto_results.events() if one.name() == "[memory]"]
        held = peak = 0
        for event in sorted(events, key=lambda one: one.start_ns()):
            held += event.nbytes()  # negative where memory is given back
            peak = max(peak, held)
        return peak
