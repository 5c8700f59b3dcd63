"""safetensors: the weights alone, for programs that build the network themselves."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from sbn_lightning.backbones.base import Backbone, rebuilt
from sbn_lightning.checkpointing.stored_classes import StoredClasses
from sbn_lightning.classifier import Classifier
from sbn_lightning.deploy.export.fitted import Fitted
from sbn_lightning.deploy.export.formats.base import Answering, ExportFormat
from sbn_lightning.deploy.export.inference_model import InferenceModel
from sbn_lightning.errors import UsageError
from sbn_lightning.heads.base import Head


class SafetensorsFile(ExportFormat):
    """The state of an InferenceModel; the metadata name the classes that it is built of."""

    title = "safetensors"
    suffix = ".safetensors"
    packages = ("safetensors",)

    def write(
        self, model: InferenceModel, image_size: tuple[int, int], metadata: Mapping[str, str], file: IO[Any]
    ) -> None:
        from safetensors.torch import save

        file.write(save(model.state_dict(), dict(metadata)))

    def read(self, file: Path) -> Answering:
        return open_safetensors(file)


def open_safetensors(file: str | Path) -> InferenceModel:
    """Return the model whose weights `sbn export --format safetensors` has written.

    No code in the file is run or imported: a backbone or a head of your own is found once you have imported its module.

    Raises:
        UsageError: If the file is not of this kind.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as stored:
            metadata = stored.metadata() or {}
            weights = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
        arguments, fitting = json.loads(metadata["model"]), json.loads(metadata["preprocessing"])
        parts = {name: arguments[name] for name in ("backbone", "head", "num_classes")}
    except (SafetensorError, KeyError, ValueError, TypeError) as error:
        raise UsageError(
            f"{file} was not written by sbn export --format safetensors, or is damaged ({error})"
        ) from error
    classes = StoredClasses(file, Backbone, Head)
    try:
        with rebuilt():
            head = classes.module(parts["head"], "model.head")
            classifier = Classifier(classes.module(parts["backbone"], "model.backbone"), head, parts["num_classes"])
        fitted = Fitted(tuple(fitting["image_size"]), fitting["fit"]) if fitting["any_size"] else None
        model = InferenceModel(classifier, fitted=fitted)
        model.load_state_dict(weights)
    except UsageError:
        raise
    except Exception as error:
        raise classes.unfit("the model", error) from error
    return model
