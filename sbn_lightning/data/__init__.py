"""Datasets, and what they share."""

from sbn_lightning.data.augment import CropFlip
from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.cifar100 import CIFAR100
from sbn_lightning.data.digits import Digits
from sbn_lightning.data.facescrub import FaceScrub
from sbn_lightning.data.image_folder import ImageFolder
from sbn_lightning.data.loader import BatchLoader, EvaluationLoader
from sbn_lightning.data.tiny_imagenet import TinyImageNet

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
