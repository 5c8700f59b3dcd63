"""Augmentation of whole batches on the device."""

from sbn_lightning.data.augment.crop_flip import CropFlip

__all__ = ["CropFlip"]
