"""What an exported file says of itself: everything that a program must know to use it."""

import json
from importlib.metadata import version
from typing import Any

import torch

from sbn_lightning.classifier import Classifier
from sbn_lightning.deploy.trained import Trained
from sbn_lightning.errors import UsageError


def metadata_of(trained: Trained, temperature: float, any_size: bool, checkpoint_digest: str) -> dict[str, str]:
    """Return {name: text}; `class_names`, `preprocessing` and `model` are JSON."""
    data = trained.data
    preprocessing = {
        "image_size": list(data.image_size),  # height and width, pixels
        "any_size": any_size,  # whether the model resizes itself
        "fit": data.fit,
        "interpolation": "bilinear, antialiased",
        "colour_order": "RGB",
        "value_range": [0, 255],
        "type": "uint8",
        "layout": "NCHW",
        "normalization": "inside",
    }
    return {
        "class_names": json.dumps(data.class_names),
        "preprocessing": json.dumps(preprocessing),
        "temperature": repr(temperature),
        "model": json.dumps(model_arguments(trained.classifier)),
        "head": type(trained.classifier.head).__name__,
        "sbn_lightning_version": version("sbn-lightning"),
        "torch_version": torch.__version__,
        "commit": trained.results.commit or "",
        "checkpoint_sha256": checkpoint_digest,
    }


def model_arguments(classifier: Classifier) -> dict[str, Any]:
    """Return what the classifier was built of, as plain data: backbone and head by class_path and init_args."""
    given = {name: classifier.hparams.get(name) for name in ("backbone", "head", "num_classes")}
    if None in given.values():
        raise UsageError(
            "the checkpoint does not name its backbone and head, since the model was built in Python; train it with "
            "sbn fit"
        )
    return given
