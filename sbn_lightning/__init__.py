"""Train image classifiers with scaled batch normalization before softmax, and with the heads it is compared to.

The names below are loaded when they are first used, because `sbn --help` must not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sbn_lightning.backbones import VGG16, Backbone, LSoftmaxVGG, ResNet18, ResNet34, ResNet50, SmallCNN
    from sbn_lightning.classifier import Classifier
    from sbn_lightning.data import CIFAR100, Digits, FaceScrub, ImageDataModule, ImageFolder, TinyImageNet
    from sbn_lightning.heads import AMSoftmaxHead, Head, PEDCCHead, ScaledBatchNorm, ScaledBatchNormHead, SoftmaxHead

__version__: str

__all__ = [
    "__version__",
    "Classifier",
    "Head",
    "SoftmaxHead",
    "ScaledBatchNormHead",
    "ScaledBatchNorm",
    "AMSoftmaxHead",
    "PEDCCHead",
    "Backbone",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "VGG16",
    "LSoftmaxVGG",
    "SmallCNN",
    "ImageDataModule",
    "CIFAR100",
    "TinyImageNet",
    "Digits",
    "FaceScrub",
    "ImageFolder",
]

_MODULE_OF = {
    "Classifier": "classifier",
    "Head": "heads",
    "SoftmaxHead": "heads",
    "ScaledBatchNormHead": "heads",
    "ScaledBatchNorm": "heads",
    "AMSoftmaxHead": "heads",
    "PEDCCHead": "heads",
    "Backbone": "backbones",
    "ResNet18": "backbones",
    "ResNet34": "backbones",
    "ResNet50": "backbones",
    "VGG16": "backbones",
    "LSoftmaxVGG": "backbones",
    "SmallCNN": "backbones",
    "ImageDataModule": "data",
    "CIFAR100": "data",
    "TinyImageNet": "data",
    "Digits": "data",
    "FaceScrub": "data",
    "ImageFolder": "data",
}


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("sbn-lightning")
    if name in _MODULE_OF:
        return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
