"""Pretrained weights: what is asked for, and what is said where they cannot be had."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from urllib.error import URLError

import pytest
from torchvision.models import get_model_weights

from sbn_lightning.backbones import VGG16, Backbone, ResNet18, ResNet50
from sbn_lightning.backbones.base import rebuilt


def test_backbone_that_is_built_for_a_checkpoints_weights_needs_no_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*arguments: object, **settings: object) -> None:
        raise AssertionError("pretrained weights are fetched")

    monkeypatch.setattr(get_model_weights("resnet18"), "get_state_dict", fetch)
    with rebuilt():
        assert len(ResNet18("imagenet", weights="IMAGENET1K_V1", download=True).state_dict()) > 100
    with pytest.raises(ValueError, match="it is damaged; remove it"):
        ResNet18("imagenet", weights="IMAGENET1K_V1", download=True)


@pytest.mark.parametrize(("name", "build"), [("resnet18", partial(ResNet18, "imagenet")), ("vgg16_bn", VGG16)])
def test_weights_that_are_not_here_are_named_with_file_address_and_option(
    name: str, build: Callable[..., Backbone], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    asked = []

    def offline(*arguments: object, **settings: object) -> None:
        asked.append(arguments)
        raise URLError("no route")

    monkeypatch.setattr("torch.hub.urlopen", offline)
    url = get_model_weights(name)["IMAGENET1K_V1"].url
    file = tmp_path / "hub" / "checkpoints" / url.rpartition("/")[2]
    with pytest.raises(ValueError, match=rf"put {url} there as {file}, or pass --model.backbone.download true"):
        build(weights="IMAGENET1K_V1")
    assert not asked
    with pytest.raises(ValueError, match=rf"cannot be downloaded from {url} .*no route.*; put them there as {file}"):
        build(weights="IMAGENET1K_V1", download=True)
    assert asked
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"not weights")
    with pytest.raises(ValueError, match=rf"cannot be read from {file}: it is damaged; remove it"):
        build(weights="IMAGENET1K_V1")


def test_unknown_weights_are_refused_with_the_known_ones() -> None:
    with pytest.raises(
        ValueError, match="'imagenet' are not known for resnet50; use one of IMAGENET1K_V1, IMAGENET1K_V2"
    ):
        ResNet50(stem="imagenet", weights="imagenet")
    with pytest.raises(ValueError, match="'IMAGENET1K_V9' are not known for vgg16_bn; use one of IMAGENET1K_V1"):
        VGG16(weights="IMAGENET1K_V9")
