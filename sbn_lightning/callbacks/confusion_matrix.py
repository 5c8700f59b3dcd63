"""A picture of the classes that are taken for each other."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sbn_lightning.callbacks.dashboard import add_picture, head_label, last_step, summary_writer
from sbn_lightning.callbacks.outputs import of_all_processes
from sbn_lightning.figures import draw_confusion
from sbn_lightning.tensorboard.names import STAGES


class ConfusionMatrix(Callback):
    """Show which classes are taken for which, at the end of training: the confusion matrix of up to 12 classes, the
    pairs most often confused of more. Keeps one number for each image of the last validation.

    Tags, once, at the end of training:
        pictures/confusion: Of the images of all processes.
    """

    def __init__(self) -> None:
        self._codes: list[Tensor] = []  # label * C + prediction of each image

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._codes.clear()

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        logits, labels = outputs["logits"], outputs["labels"]
        self._codes.append(torch.add(logits.argmax(1), labels, alpha=logits.shape[1]))

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._codes:  # nothing was validated
            return
        codes = torch.cat(of_all_processes(torch.cat(self._codes).cpu(), trainer.world_size))
        self._codes.clear()
        if writer := summary_writer(trainer):
            names = trainer.datamodule.class_names
            labels, predicted = (codes // len(names)).numpy(), (codes % len(names)).numpy()
            images, _ = STAGES[trainer.datamodule.validation_stage]
            right = f"{(labels == predicted).sum():,} of {len(codes):,} right, {images}"
            title = f"{head_label(pl_module)}, end of training"
            figure = draw_confusion(labels, predicted, names, title, right)
            add_picture(writer, "pictures/confusion", figure, last_step(trainer))
