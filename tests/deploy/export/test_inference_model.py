"""The model that is exported: what it computes, and what it holds."""

import copy

import own_classes
import pytest
import torch
from small_models import HEADS, pixels, trained

from sbn_lightning import AMSoftmaxHead, CenterLossHead, Head, PEDCCHead, ScaledBatchNormHead, SoftmaxHead
from sbn_lightning.deploy.export.fitted import Fitted
from sbn_lightning.deploy.export.inference_model import InferenceModel


@pytest.mark.parametrize("head", [*HEADS, own_classes.CosineHead])
def test_logits_are_the_classifiers(head: type[Head]) -> None:
    classifier = trained(head)
    with torch.no_grad():
        expected = classifier(pixels(5))
    answer = InferenceModel(classifier)(pixels(5))
    torch.testing.assert_close(answer["logits"], expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(answer["probabilities"], expected.softmax(1), rtol=1e-4, atol=1e-6)


def test_temperature_divides_the_logits() -> None:
    classifier = trained()
    plain, cooled = InferenceModel(classifier), InferenceModel(classifier, temperature=2.0)
    torch.testing.assert_close(cooled(pixels(5))["logits"], plain(pixels(5))["logits"] / 2)


def test_classifier_stays_as_it_is() -> None:
    classifier = trained().train()
    before = copy.deepcopy(classifier.state_dict())
    model = InferenceModel(classifier, temperature=3.0)
    for parameter in model.parameters():
        parameter.add_(1)
    assert classifier.training
    assert all(parameter.requires_grad for parameter in classifier.parameters())
    torch.testing.assert_close(classifier.state_dict(), before, rtol=0, atol=0)


def test_stays_in_evaluation_mode() -> None:
    model = InferenceModel(trained()).train()
    assert not any(module.training for module in model.modules())


def test_images_of_any_size_are_brought_to_the_models() -> None:
    fitted = Fitted((12, 12), "crop")
    model = InferenceModel(trained(), fitted=fitted)
    large = pixels(3, 31, 23)
    torch.testing.assert_close(model(large), InferenceModel(trained())(fitted(large)))


@pytest.mark.parametrize(
    ("head", "kept"),
    [
        (SoftmaxHead, set()),
        (ScaledBatchNormHead, set()),
        (AMSoftmaxHead, set()),
        (CenterLossHead, set()),
        (PEDCCHead, {"neck.linear.weight", "neck.norm.running_mean", "neck.norm.running_var"}),
    ],
)
def test_holds_no_weight_twice(head: type[Head], kept: set[str]) -> None:
    names = InferenceModel(trained(head)).state_dict()
    assert {name.removeprefix("embed.head.") for name in names if name.startswith("embed.")} == kept
