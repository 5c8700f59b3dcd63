"""Datasets, and what they share."""

from sbn_lightning.data.augment import CropFlip
from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.cifar100 import CIFAR100
from sbn_lightning.data.digits import Digits
from sbn_lightning.data.loader import BatchLoader, EvaluationLoader

__all__ = ["CIFAR100", "BatchLoader", "CropFlip", "Digits", "EvaluationLoader", "ImageDataModule"]
