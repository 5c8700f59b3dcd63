"""The settings of classes, read from their source, are those that the classes have."""

import inspect

import pytest

import sbn_lightning
from sbn_lightning.backbones import Backbone
from sbn_lightning.cli.class_settings import settings_of
from sbn_lightning.cli.keys import CHOSEN
from sbn_lightning.cli.messages import class_names
from sbn_lightning.data import ImageDataModule
from sbn_lightning.heads import Head

BASES = {"data": ImageDataModule, "model.backbone": Backbone, "model.head": Head}


@pytest.mark.parametrize("key", CHOSEN)
def test_settings_are_the_parameters_with_their_defaults_and_meanings(key: str) -> None:
    names = [name for name in class_names(BASES[key]) if name in sbn_lightning.__all__]
    assert len(names) >= 4
    for name in names:
        found = settings_of(name, CHOSEN[key])
        parameters = inspect.signature(getattr(sbn_lightning, name)).parameters.values()
        defaults = {
            one.name: getattr(one.default, "__name__", one.default)  # of a class, its name
            for one in parameters
            if one.default is not one.empty
        }
        assert {setting: default for setting, (default, _) in found.items()} == defaults
        assert all(text and text[-1] not in ".;:" for _, text in found.values())


def test_meaning_is_the_first_part_of_a_description_and_no_abbreviation_ends_it() -> None:
    assert settings_of("ResNet18", "backbones")["weights"] == (
        None,
        'torchvision\'s name of pretrained weights, e.g. "IMAGENET1K_V1"',
    )


def test_class_that_is_not_here_has_no_settings() -> None:
    assert settings_of("TheirHead", "heads") == {}
