"""A trained classifier as others use it: pixels in, probabilities out."""

import copy

import torch
from torch import Tensor, nn

from sbn_lightning.classifier import Classifier
from sbn_lightning.heads.base import Head


class InferenceModel(nn.Module):
    """A trained classifier for inference, in the order in which it computes:

        pixels = fitted(images),                       if images of any size are taken
        features = embed(backbone((pixels - mean) / std))
        logits = (W features + b) / temperature,       W and b of head.as_linear()
        probabilities = softmax(logits)

    The classifier that it is made of stays as it is. Everything is float32, and in evaluation mode for good.

    Args:
        classifier: The trained one.
        mean, std: What its images are normalized with, levels 0 to 255, (3, 1, 1).
        temperature: What its logits are divided by, > 0: larger makes it less sure.
        fitted: Brings images of any size to the size that the classifier was trained on; None if they have it.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        classifier: Classifier,
        mean: Tensor,
        std: Tensor,
        temperature: float = 1.0,
        fitted: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.fitted = fitted or nn.Identity()
        self.register_buffer("mean", mean.detach().clone())
        self.register_buffer("std", std.detach().clone())
        self.backbone = copy.deepcopy(classifier.backbone)
        self.embed = Embedding(classifier.head)
        self.linear = classifier.head.as_linear()
        with torch.no_grad():  # the temperature is part of the layer: nothing is left to compute
            for parameter in self.linear.parameters():
                parameter /= temperature
        self.to(memory_format=torch.contiguous_format)  # as files hold weights
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> "InferenceModel":
        """Stay in evaluation mode."""
        return super().train(False)

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """uint8 (N, 3, H, W) -> {"logits", "probabilities"}, both (N, C)."""
        levels = self.fitted(images).float()
        features = self.backbone((levels - self.mean) / self.std)
        logits = self.linear(self.embed(features))
        return {"logits": logits, "probabilities": logits.softmax(1)}


class Embedding(nn.Module):
    """`head.embed` as a module, with a copy of those weights of the head that it depends on.

    The others, which `as_linear` has taken over, are empty.
    """

    def __init__(self, head: Head) -> None:
        super().__init__()
        self.head = copy.deepcopy(head).eval()
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
    """{name: an empty tensor} of the weights and buffers in whose place a module may have these, and compute the same."""
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
