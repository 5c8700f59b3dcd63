"""A picture of the images that the network is wrong about and sure of."""

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from sbn_lightning.callbacks.dashboard import add_picture, head_label, last_step, summary_writer
from sbn_lightning.callbacks.outputs import of_all_processes
from sbn_lightning.figures import draw_images
from sbn_lightning.tensorboard.names import STAGES

SHOWN = 20


class ConfidentMistakes(Callback):
    """Show the wrong predictions with the largest probability, at the end of training: image, label, predicted class
    and its probability. They are often wrong labels. Keeps 20 numbers of images during a validation.

    Tags, once, at the end of training:
        pictures/mistakes: The 20 of all processes; none if there is no mistake.
    """

    def __init__(self) -> None:
        self._seen = 0  # images of this validation, on this process
        self._wrong = torch.tensor(0)  # the number of mistakes among them
        self._kept = torch.empty(0), torch.empty(0, 3, dtype=torch.int64)  # probability; image, label and prediction

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._seen, self._wrong = 0, torch.zeros((), dtype=torch.int64, device=pl_module.device)
        self._kept = torch.empty(0, device=pl_module.device), self._wrong.new_empty(0, 3)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *_: Any) -> None:
        logits, labels = outputs["logits"], outputs["labels"]
        probability, predicted = logits.float().softmax(1).max(1)
        is_wrong = predicted != labels
        self._wrong += is_wrong.sum()
        images = torch.arange(self._seen, self._seen + len(labels), device=labels.device)
        self._seen += len(labels)
        self._kept = largest(
            torch.cat([self._kept[0], probability * is_wrong]),
            torch.cat([self._kept[1], torch.stack([images, labels, predicted], 1)]),
        )

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not self._seen:  # nothing was validated
            return
        rank, world_size, data = trainer.global_rank, trainer.world_size, trainer.datamodule
        probability, facts = (tensor.cpu() for tensor in self._kept)
        facts[:, 0] = facts[:, 0] * world_size + rank  # process r of k has evaluated images r, r + k, r + 2k, …
        of_all = of_all_processes((probability, facts, int(self._wrong)), world_size)
        probability, facts = largest(torch.cat([one[0] for one in of_all]), torch.cat([one[1] for one in of_all]))
        count = min(SHOWN, sum(one[2] for one in of_all))
        writer = summary_writer(trainer)
        if writer is None or count == 0:
            return
        images, labels, predicted = facts[:count].T
        captions = [
            f"{data.class_names[label]}\n→ {data.class_names[prediction]}\n{share:.3f}"
            for label, prediction, share in zip(labels, predicted, probability.tolist(), strict=False)
        ]
        title = f"{head_label(pl_module)}, end of training"
        mistakes = f"{count} of {sum(one[2] for one in of_all):,} mistakes, {STAGES[data.validation_stage][0]}"
        pixels = data.stored_images(data.validation_stage, images).numpy()
        figure = draw_images(pixels, captions, title, f"{mistakes}: label → prediction")
        add_picture(writer, "pictures/mistakes", figure, last_step(trainer))


def largest(probability: Tensor, facts: Tensor) -> tuple[Tensor, Tensor]:
    """The rows with the largest probabilities, in their order."""
    probability, rows = probability.topk(min(SHOWN, len(probability)))
    return probability, facts[rows]
