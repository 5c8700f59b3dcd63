"""The measures of a classifier, computed from sums and counts over batches; run/measures.py is their table."""

from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor
from torchmetrics import Metric

from sbn_lightning.run.calibration import BINS, calibration_error_of_bins
from sbn_lightning.run.measures import MEASURES


class StageMetrics(Metric):
    """Every measure of run.measures.MEASURES over the images of a stage, on all devices.

    `update` adds a batch to sums and counts, without waiting for the device. Each measure is a function of these: the
    method of its name. torchmetrics adds up the processes before `compute`.
    """

    full_state_update = False
    images: Tensor
    correct: Tensor
    correct_top5: Tensor
    loss_sum: Tensor
    class_images: Tensor  # (C,) by label, as the next one; the third by predicted class
    class_correct: Tensor
    class_predictions: Tensor
    bin_images: Tensor  # (BINS + 1,) by confidence, as the next two
    bin_correct: Tensor
    bin_confidence: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        for name in ("images", "correct", "correct_top5"):
            self.add_state(name, torch.tensor(0), dist_reduce_fx="sum")
        for name in ("class_images", "class_correct", "class_predictions"):
            self.add_state(name, torch.zeros(num_classes, dtype=torch.int64), dist_reduce_fx="sum")
        for name in ("bin_images", "bin_correct"):
            self.add_state(name, torch.zeros(BINS + 1, dtype=torch.int64), dist_reduce_fx="sum")
        for name, zero in (("loss_sum", torch.tensor(0.0)), ("bin_confidence", torch.zeros(BINS + 1))):
            self.add_state(name, zero, dist_reduce_fx="sum")

    def update(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Add a batch: its mean loss, logits (N, C) and labels (N,)."""
        predicted = logits.argmax(1)
        correct, one = predicted == labels, torch.ones_like(labels)
        own = logits.gather(1, labels[:, None])
        # To count the logits above the label's is ten times as fast as to sort them.
        in_top5 = ((logits > own).sum(1) < 5) & own[:, 0].isfinite()
        self.images += len(labels)
        self.correct += correct.sum()
        self.correct_top5 += in_top5.sum()
        # Not +=: with precision bf16-true the sum starts in bfloat16, which cannot count beyond 256.
        self.loss_sum = self.loss_sum + loss.float().repeat(len(labels)).sum()
        # Not bincount: it waits for the device to learn the largest class.
        self.class_images.scatter_add_(0, labels, one)
        self.class_correct.scatter_add_(0, labels, correct.long())
        self.class_predictions.scatter_add_(0, predicted, one)

        confidences, predicted = logits.float().softmax(1).max(1)
        self.add_to_bins(confidences, predicted == labels)

    def add_to_bins(self, confidences: Tensor, correct: Tensor) -> None:
        """Sort images into bins by their confidences (N,), their largest probabilities; correct (N,) is boolean."""
        # Not in the default type, which is bfloat16 within a step of precision bf16-true.
        edges = torch.linspace(0, 1, BINS + 1, dtype=torch.float32, device=confidences.device)
        index = torch.bucketize(confidences, edges, right=True) - 1
        self.bin_images.scatter_add_(0, index, torch.ones_like(index))
        self.bin_correct.scatter_add_(0, index, correct.long())
        self.bin_confidence = self.bin_confidence.float().scatter_add(0, index, confidences)

    def compute(self) -> dict[str, Tensor]:
        """Return the value of each measure by its name, and the counts `images` and `correct` as integers."""
        measured = {measure.name: getattr(self, measure.name)() for measure in MEASURES}
        return measured | {"images": self.images, "correct": self.correct}

    def loss(self) -> Tensor:
        """The mean of the head's loss."""
        return self.loss_sum / self.images

    def accuracy(self) -> Tensor:
        """The share of images whose largest logit is that of their label."""
        return self.correct / self.images

    def top5_accuracy(self) -> Tensor:
        """The share of images whose label is among the five largest logits (among all, with fewer classes)."""
        return self.correct_top5 / self.images

    def balanced_accuracy(self) -> Tensor:
        """The mean, over the classes that have images, of the share of the class's images that are correct (recall)."""
        recall = self.class_correct / self.class_images.clip(1)
        return recall.sum() / (self.class_images > 0).sum()

    def macro_f1(self) -> Tensor:
        """The mean, over the classes that occur as label or prediction, of F1 = 2·correct / (images + predictions)."""
        occurrences = self.class_images + self.class_predictions
        return (2 * self.class_correct / occurrences.clip(1)).sum() / (occurrences > 0).sum()

    def calibration_error(self) -> Tensor:
        """The expected calibration error, see run.calibration."""
        return calibration_error_of_bins(self.bin_images, self.bin_correct, self.bin_confidence)


def join_separate_metrics(states: dict[str, Any], num_classes: int) -> None:
    """Join the states of each stage's four metrics, as checkpoints up to commit 1d7cd34 hold them, to a StageMetrics'.

    In an epoch that is continued from such a checkpoint, the measures by class count the remaining images only.
    `states` holds the states of one process by the metric's name, and is changed in place.
    """
    for stage in ("train_metrics", "val_metrics", "test_metrics"):
        if f"{stage}.loss" not in states:
            continue
        names = ("loss", "accuracy", "top5_accuracy", "calibration_error")
        updates = states[f"{stage}.loss"]["updates"]
        loss, accuracy, top5, calibration = (states.pop(f"{stage}.{name}")["values"] for name in names)
        joined = StageMetrics(num_classes)
        joined.images, joined.loss_sum = loss["weight"].long(), loss["mean_value"]
        joined.correct, joined.correct_top5 = accuracy["tp"].sum(), top5["mean_value"].long()
        joined.add_to_bins(torch.cat(calibration["confidences"]), torch.cat(calibration["accuracies"]))
        states[stage] = {"updates": updates, "values": joined.metric_state}


def step_is_logged(trainer: Trainer, step: int, batch_idx: int | None = None) -> bool:
    """Whether the values of an optimizer step, counted from 1, are logged: every `trainer.log_every_n_steps`-th step.

    If batch_idx is given, an epoch's first batch is logged as well.
    """
    every = trainer.log_every_n_steps
    return every > 0 and (batch_idx == 0 or step % every == 0)
