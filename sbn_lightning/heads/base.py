"""What every head is, and the linear map that all heads compute in their own precision."""

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Head(nn.Module, ABC):
    """The last part of a classifier: features (N, D) -> logits (N, C), and the loss that trains it.

    A subclass writes `forward`, `as_linear` and `class_weight`; also `with_margin` if training lowers the true class's
    logit, `loss` if it trains on something else than cross-entropy, `start_epoch` if something changes from epoch to
    epoch, and `embed` if it is linear in something else than the features. Its settings are keyword arguments with
    defaults, so that it is built as head(num_features, num_classes). What changes during a training, apart from its
    parameters, is a buffer that is changed in place: checkpoints and CUDA graphs hold it. In evaluation every head
    satisfies

        head(features) == head.as_linear()(head.embed(features))

    Args:
        num_features: D.
        num_classes: C.

    Attributes:
        title: The head's name in tables and figures; if it is empty, the class's name is used.
        class_tensors: The names of its parameters and buffers that have a row for each class. A head that names them
            computes each class's logits from its row of them alone, so that its classes can be divided among processes
            (see `sharding`). Empty for a head whose classes cannot be divided.

    Raises:
        ValueError: If num_features < 1 or num_classes < 2.
    """

    title: str = ""
    class_tensors: ClassVar[tuple[str, ...]] = ()

    def __init__(self, num_features: int, num_classes: int) -> None:
        super().__init__()
        if num_features < 1:
            raise ValueError(f"num_features must be at least 1, got {num_features}")
        if num_classes < 2:
            raise ValueError(
                f"num_classes must be at least 2, got {num_classes}: one class leaves nothing to tell apart"
            )
        self.num_features = num_features
        self.num_classes = num_classes

    @abstractmethod
    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> logits (N, C) as inference uses them: without labels, so without margin."""

    def loss(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """The scalar to minimize, a mean over the samples.

        Logits (N, C) are what `forward` gave for these features (N, D); labels (N,) are integers in [0, C).
        """
        if self.training:
            logits = self.with_margin(logits, labels, features)
        return F.cross_entropy(logits, labels)

    def with_margin(self, logits: Tensor, labels: Tensor, features: Tensor) -> Tensor:
        """(N, C) -> (N, C): the logits of the training loss. Only those of the true classes may be changed.

        Where the classes are divided among processes, the columns are this process's classes, and one more column,
        which is the label of all images of other classes.
        """
        return logits

    def embed(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, E): the features as the head's linear map sees them in evaluation. Here unchanged, E = D."""
        return features

    def start_epoch(self, epoch: int) -> None:
        """Prepare for a training epoch, counted from 0, before its first step. Here nothing is to be done.

        A training that continues inside an epoch does not call this again: the checkpoint's buffers hold its effect.
        """

    @abstractmethod
    def as_linear(self) -> nn.Linear:
        """A detached copy of the evaluation-mode head as one layer E -> C, normalization and scale folded in."""

    @property
    @abstractmethod
    def class_weight(self) -> Tensor:
        """(C, E): one vector per class, as the head stores it (Figure 3 shows its row norms)."""

    def advice(self, class_counts: Tensor) -> list[str]:
        """What a user should know before training, given the training samples of each class (C,); one sentence each."""
        return []


def float32_linear(features: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """(N, D) -> (N, C): features @ weight.T + bias in the weight's precision, also under autocast.

    Logits in bfloat16 have 8 significant bits, too few for a softmax over many classes.
    """
    with torch.autocast(features.device.type, enabled=False):
        return F.linear(features.to(weight.dtype), weight, bias)


def plain_linear(weight: Tensor, bias: Tensor | None = None) -> nn.Linear:
    """nn.Linear that holds detached copies of weight (C, D) and bias (C,), and draws no random numbers."""
    num_classes, num_features = weight.shape
    linear = nn.Linear(num_features, num_classes, bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight.detach().clone())
    if bias is not None:
        linear.bias = nn.Parameter(bias.detach().clone())
    return linear
