"""Datasets, and what they share. Each class in datasets/ can be imported from here."""

from sbn_lightning.data import datasets
from sbn_lightning.data.augment.crop_flip import CropFlip
from sbn_lightning.data.base import ImageDataModule
from sbn_lightning.data.loader import BatchLoader, EvaluationLoader

__all__ = ["BatchLoader", "CropFlip", "EvaluationLoader", "ImageDataModule"]


def __getattr__(name: str) -> type[ImageDataModule]:
    known: list[type[ImageDataModule]] = [ImageDataModule]
    for dataset in known:
        known += dataset.__subclasses__()
        if dataset.__name__ == name and dataset.__module__.startswith(f"{datasets.__name__}."):
            return dataset
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
