"""Train image classifiers with scaled batch normalization before softmax, and with the heads it is compared to.

The names below are loaded when they are first used, because `sbn --help` must not wait for torch. So is any other head,
backbone or dataset of the package: `from sbn_lightning import NewHead` needs no change here.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sbn_lightning.backbones import (
        VGG16,
        Backbone,
        DenseNet121,
        DenseNetBC,
        LSoftmaxVGG,
        ResNet18,
        ResNet34,
        ResNet50,
        ResNeXt29,
        ResNeXt50,
        SmallCNN,
    )
    from sbn_lightning.classifier import Classifier
    from sbn_lightning.data import CIFAR100, Digits, FaceScrub, ImageDataModule, ImageFolder, TinyImageNet
    from sbn_lightning.heads import (
        AMSoftmaxHead,
        ArcFaceHead,
        ASoftmaxHead,
        BalancedMomentsHead,
        BatchNormHead,
        CenterLossHead,
        Head,
        LearnedScaleHead,
        LogitNormHead,
        LSoftmaxHead,
        NormFaceHead,
        PEDCCHead,
        RunningStatisticsHead,
        ScaledBatchNorm,
        ScaledBatchNormHead,
        ScheduledScaleHead,
        SoftmaxHead,
    )

__version__: str

__all__ = [
    "__version__", "Classifier",
    "Head", "SoftmaxHead", "ScaledBatchNormHead", "ScaledBatchNorm", "AMSoftmaxHead", "PEDCCHead",
    "LearnedScaleHead", "BatchNormHead", "ScheduledScaleHead", "RunningStatisticsHead", "BalancedMomentsHead",
    "LogitNormHead", "CenterLossHead",
    "Backbone", "ResNet18", "ResNet34", "ResNet50", "ResNeXt50", "ResNeXt29", "DenseNet121", "DenseNetBC", "VGG16",
    "LSoftmaxVGG", "SmallCNN",
    "NormFaceHead", "ArcFaceHead", "LSoftmaxHead", "ASoftmaxHead",
    "ImageDataModule", "CIFAR100", "TinyImageNet", "Digits", "FaceScrub", "ImageFolder",
]  # fmt: skip


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("sbn-lightning")
    if name[0].isupper():  # a class
        for module in ("heads", "backbones", "data", "classifier"):
            if found := getattr(import_module(f"{__name__}.{module}"), name, None):
                return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
