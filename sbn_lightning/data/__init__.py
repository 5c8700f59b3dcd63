"""Datasets, and what they share."""

from sbn_lightning.data.augment.crop_flip import CropFlip
from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.datasets.cifar100 import CIFAR100
from sbn_lightning.data.datasets.digits import Digits
from sbn_lightning.data.datasets.facescrub import FaceScrub
from sbn_lightning.data.datasets.image_folder import ImageFolder
from sbn_lightning.data.datasets.tiny_imagenet import TinyImageNet
from sbn_lightning.data.loader import BatchLoader, EvaluationLoader

__all__ = [
    "CIFAR100",
    "BatchLoader",
    "CropFlip",
    "Digits",
    "EvaluationLoader",
    "FaceScrub",
    "ImageDataModule",
    "ImageFolder",
    "TinyImageNet",
]
