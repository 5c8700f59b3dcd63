"""A trained classifier as others use it: pixels in, probabilities out."""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

from sbn_lightning.classifier import Classifier
from sbn_lightning.deploy.export.fitted import Fitted
from sbn_lightning.errors import UsageError
from sbn_lightning.heads.base import Head

Module = TypeVar("Module", bound=nn.Module)


class InferenceModel(nn.Module):
    """A trained classifier for inference, in the order in which it computes:

        pixels = fitted(images),                        if images of any size are taken
        features = embed(backbone((pixels - mean) / std))
        logits = (W features + b) / temperature,        W and b of head.as_linear()
        probabilities = softmax(logits)

    The classifier that it is made of stays as it is. The weights are copies, on the CPU, and in evaluation mode
    for good.

    Args:
        classifier: The trained one.
        temperature: What its logits are divided by, > 0: larger makes it less sure.
        fitted: Brings images of any size to the size that the classifier was trained on; None if they have it.

    Raises:
        UsageError: If the backbone or the head, of the user's own, cannot be copied.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, classifier: Classifier, temperature: float = 1.0, fitted: Fitted | None = None) -> None:
        super().__init__()
        self.fitted = fitted
        self.register_buffer("mean", classifier.normalization.mean.detach().float().clone())
        self.register_buffer("std", classifier.normalization.std.detach().float().clone())
        self.backbone = copied(classifier.backbone)
        self.embed = Embedding(classifier.head)
        self.linear = classifier.head.as_linear()
        with torch.no_grad():  # the temperature is part of the layer: it costs nothing
            for parameter in self.linear.parameters():
                parameter.div_(temperature)
        self.to("cpu").to(memory_format=torch.contiguous_format)  # as files hold weights
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "InferenceModel":
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 (N, 3, H, W) -> {"logits", "probabilities"}, both (N, C)."""
        pixels = images if self.fitted is None else self.fitted(images)
        features = self.backbone((pixels - self.mean) / self.std)
        logits = self.linear(self.embed(features))
        return {"logits": logits, "probabilities": logits.softmax(1)}


def copied(module: Module) -> Module:
    """Return a copy of a module."""
    try:
        return copy.deepcopy(module)
    except Exception as error:  # whatever code of the user's own leads it to, such as a TypeError because of a lock
        raise UsageError(
            f"{type(module).__name__} cannot be copied ({error}), which an export needs: let it hold only what "
            "copy.deepcopy can copy"
        ) from error


class Embedding(nn.Module):
    """`head.embed` as a module, with a copy of the weights that it uses.

    The others, which `as_linear` has taken over, are empty.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = copied(head).to("cpu").eval()
        for name, empty in _unused(self, torch.ones(1, head.num_features)).items():
            owner, _, attribute = name.rpartition(".")
            module = self.get_submodule(owner)
            delattr(module, attribute)
            setattr(module, attribute, empty)  # no parameter, and not part of the state

    def forward(self, features: Tensor) -> Tensor:
        """(N, D) -> (N, E)."""
        return self.head.embed(features)


@torch.no_grad()
def _unused(module: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    """{name: an empty tensor} of each weight and buffer whose place it may take, and the module computes the same."""
    expected = module(inputs)
    unused = {}
    for name, value in [*module.named_parameters(), *module.named_buffers()]:
        empty = value.new_empty(0)
        try:
            is_same = torch.equal(torch.func.functional_call(module, {name: empty}, inputs), expected)
        except RuntimeError:
            continue
        if is_same:
            unused[name] = empty
    return unused
