"""Augmentation of whole batches on the device, one file each."""
