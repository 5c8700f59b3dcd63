"""Batch normalizations that are folded into the layers before them change no answer."""

from threading import Lock

import pytest
import torch
from torch import Tensor, nn

from sbn_lightning import Classifier, DenseNetBC, ResNeXt29, SmallCNN, SoftmaxHead
from sbn_lightning.backbones.base import Backbone
from sbn_lightning.deploy.folded import folded
from sbn_lightning.run.identity import TrainedOn


def classifier(backbone: Backbone) -> Classifier:
    """One whose normalizations have seen images."""
    torch.manual_seed(0)
    model = Classifier(backbone, SoftmaxHead, 3, mean=(0.5,) * 3, std=(0.2,) * 3)
    model.trained_on = TrainedOn(["a", "b", "c"], (8, 8), [0.5] * 3, [0.2] * 3, {}, "")
    for _ in range(3):
        model(torch.randint(256, (16, 3, 8, 8), dtype=torch.uint8))
    return model.eval()


@pytest.mark.parametrize(
    ("backbone", "left"),
    [
        (SmallCNN(4), 0),
        (ResNeXt29(2, 4), 0),
        (DenseNetBC(10), 6),  # of 9: of a layer only the second one comes directly after a convolution
    ],
    ids=["SmallCNN", "ResNeXt29", "DenseNetBC"],
)
@torch.inference_mode()
def test_logits_are_the_same_without_the_batch_normalizations_after_convolutions(backbone: Backbone, left: int) -> None:
    model = classifier(backbone)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    result = folded(model)
    images = torch.randint(256, (5, 3, 8, 8), dtype=torch.uint8)
    torch.testing.assert_close(result(images), model(images), rtol=1e-5, atol=1e-5)
    assert sum(isinstance(module, nn.BatchNorm2d) for module in result.modules()) == left
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


class Branching(Backbone):
    """Cannot be traced: what it computes depends on the images."""

    def __init__(self) -> None:
        super().__init__()
        self.num_features = 3
        self.normalization_layer = nn.BatchNorm2d(3)

    def forward(self, images: Tensor) -> Tensor:
        features = self.normalization_layer(images).mean((2, 3))
        return features if features.sum() > 0 else -features


def test_backbone_that_cannot_be_traced_is_taken_as_it_is() -> None:
    model = classifier(Branching())
    assert folded(model) is model


def test_classifier_that_cannot_be_copied_is_taken_as_it_is() -> None:
    model = classifier(SmallCNN(4))
    model.head.lock = Lock()
    assert folded(model) is model


def test_folding_that_changes_the_answers_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    model = classifier(SmallCNN(4))
    monkeypatch.setattr("sbn_lightning.deploy.folded.fuse", lambda backbone: classifier(SmallCNN(4)).backbone.train())
    assert folded(model) is model
