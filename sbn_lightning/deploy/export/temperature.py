"""The temperature that an exported model's logits are divided by."""

from typing import NamedTuple

import numpy as np
import torch

from sbn_lightning.classifier import Classifier
from sbn_lightning.data import ImageDataModule
from sbn_lightning.data.loader import EvaluationLoader
from sbn_lightning.errors import UsageError, counted
from sbn_lightning.run.calibration import fit_scale

CALIBRATED = "calibrated"


class Temperature(NamedTuple):
    """A number > 0, and a text that says where it comes from."""

    value: float = 1.0
    text: str = "none: the probabilities are those of the training's logits"


def given_temperature(text: str) -> Temperature:
    """Return a temperature that a user names."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < float("inf"):
        raise UsageError(f"--temperature is {text}; it is {CALIBRATED}, or a number above 0")
    return Temperature(value, f"{value:g}, as it was given")


def calibrated_temperature(classifier: Classifier, data: ImageDataModule) -> Temperature:
    """Fit the temperature that minimizes the cross-entropy on the images that were held out, or else on the test set.

    Source: Guo et al. 2017; see `run.calibration.fit_scale`.
    """
    split = "val" if "val" in data.num_images else "test"
    name = f"{counted(data.num_images[split], 'held-out image' if split == 'val' else 'test image')}"
    loader = data.val_dataloader() if split == "val" else data.test_dataloader()
    assert isinstance(loader, EvaluationLoader)
    logits, labels = [], []
    with torch.inference_mode():
        for images, own_labels, _ in loader:
            logits.append(classifier(images.to(classifier.device)).double().cpu().numpy())
            labels.append(own_labels.cpu().numpy())
    scale = fit_scale(np.concatenate(logits), np.concatenate(labels))
    if scale is None:
        raise UsageError(
            f"no temperature is best for the {name}: either all of them are right, or the logits tell nothing; leave "
            "--temperature out, or give a number"
        )
    unfair = "" if split == "val" else "; a calibration error of this file on the same images is too favourable"
    return Temperature(1 / scale, f"{1 / scale:.4g}, fitted on the {name}{unfair}")
